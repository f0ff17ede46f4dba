"""A kubelet that only forwards ports, of whichever pod, to one that is real: `python -m tests.benchmarks.cluster.kubelet PORT POD_IP`."""

import asyncio
import contextlib
import ssl
import sys

from aiohttp import web

from tests.support.fork import ROOT

PROTOCOL = "v4.channel.k8s.io"  # a frame begins with its channel; the first of each only repeats the port
CHUNK = 2**16


async def forward(request: web.Request) -> web.WebSocketResponse:
    port = int(request.query["port"])
    reader, writer = await asyncio.open_connection(sys.argv[2], port)
    socket = web.WebSocketResponse(protocols=[PROTOCOL])
    await socket.prepare(request)
    for channel in (0, 1):
        await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
    back = asyncio.create_task(answer(reader, socket))
    with contextlib.suppress(OSError):
        async for message in socket:
            writer.write(message.data[1:])
            await writer.drain()
    back.cancel()
    writer.close()
    return socket


async def answer(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            await socket.send_bytes(b"\0" + data)
        await socket.close()


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/portForward/{namespace}/{pod}", forward)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ROOT / "tests/expired.pem")  # the API server of the tests asks for no other
    web.run_app(application, port=int(sys.argv[1]), ssl_context=tls, print=None)
