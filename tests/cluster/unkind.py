"""A proxy in front of an API server that is unkind: it refuses, delays, repeats and cuts, at random, and by a seed the same again.

The requests that it lets through are real, and so are the answers. Who asks is the client's own token.
"""

import asyncio
import collections
import contextlib
import json
import queue
import random
import ssl
import tempfile
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REFUSALS = {401: "Unauthorized", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
CHUNK = 2**14


class Unkind:
    """`share` of all requests meet a fault; `met` counts which."""

    def __init__(self, host: str, tls: ssl.SSLContext, share: float, seed: int):
        self.upstream, self.tls, self.share = urlsplit(host), tls, share
        self.random = random.Random(seed)
        self.met: collections.Counter[str] = collections.Counter()

    def fault(self) -> str:
        kinds = [*map(str, REFUSALS), "delayed", "repeated", "lost", "cut"]
        chosen = self.random.choice(kinds) if self.random.random() < self.share else "none"
        self.met[chosen] += 1
        return chosen

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; each has a connection of its own."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        upgrade, fault = "upgrade" in headers, self.fault()
        if fault.isdigit():
            return await _refuse(writer, int(fault))
        if fault == "delayed":
            await asyncio.sleep(self.random.uniform(0.1, 1.5))
        kept = [line for line in lines[1:] if line and (upgrade or not line.lower().startswith("connection:"))]
        request = "\r\n".join([lines[0], *kept, *([] if upgrade else ["Connection: close"]), "", ""]).encode() + body
        if fault == "repeated" and not upgrade and "watch=" not in lines[0]:
            await self._ask(request, asyncio.StreamReader(), None, 0)
        left = {"lost": 0, "cut": self.random.randrange(1, 20_000)}.get(fault, -1)
        return await self._ask(request, reader, writer, left)

    async def _ask(self, request: bytes, reader: asyncio.StreamReader, writer: Any, left: int) -> None:
        """Sends it, and passes on so many bytes of what comes back; all where `left` is negative. What the client adds goes through too."""
        port = self.upstream.port or 443
        back, forth = await asyncio.open_connection(self.upstream.hostname, port, ssl=self.tls)
        forth.write(request)
        sending = asyncio.create_task(_carry(reader, forth))
        try:
            while data := await back.read(CHUNK):
                if writer and left:
                    writer.write(data if left < 0 else data[:left])
                    await writer.drain()
                    left = left if left < 0 else max(0, left - len(data))
                if not left and writer:
                    return
        finally:
            sending.cancel()
            forth.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


async def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    body = json.dumps({"kind": "Status", "status": "Failure", "message": f"unkind: {REFUSALS[status]}", "code": status})
    head = f"HTTP/1.1 {status} {REFUSALS[status]}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()


@contextmanager
def before(kubeconfig: Path, share: float, seed: int) -> Iterator[Unkind]:
    """Puts one before the API server of `kubeconfig` (in JSON), which it changes for as long as that lasts."""
    kind = kubeconfig.read_text()
    config = json.loads(kind)
    cluster = config["clusters"][0]["cluster"]
    with tempfile.NamedTemporaryFile() as authority:
        authority.write(b64decode(cluster["certificate-authority-data"]))
        authority.flush()
        tls = ssl.create_default_context(cafile=authority.name)
    proxy, started = Unkind(cluster["server"], tls, share, seed), queue.Queue()

    async def serve() -> None:
        done = asyncio.Event()
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), done))
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    port, loop, done = started.get()
    config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
    kubeconfig.write_text(json.dumps(config))
    try:
        yield proxy
    finally:
        kubeconfig.write_text(kind)
        loop.call_soon_threadsafe(done.set)
        thread.join()
