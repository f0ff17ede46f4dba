"""A load client that counts every request, by REST and by gRPC, to a Service as a pod would see it.

    python -m tests.cluster.load HOST MODEL PER_SECOND KEPT

Asks for x = 1, and for x = 7 every fiftieth time, until SIGTERM (which it needs to be told to stop by whoever started it), and then prints
y / x as JSON, how often it was answered and when last: {"rest": {"2.0": 512}, "grpc": {"1750000001 2.0": 511}, "failures": ["…"],
"cut": ["…"], "last": {"2.0": 1750000060.5}}.

Clients of five kinds ask, each so many times per second. By REST: one with a connection for each request, and three kinds that keep
theirs. KEPT of these look, before each use, whether the server has closed it (requests, urllib3), and as many do not (http.client); the
requests that these lose are in `cut`. One looks, and asks again as docs/clients.md says. By gRPC: one with a pool of channels, which
follow the server's GOAWAY to the next pod.
"""

import asyncio
import collections
import http.client
import itertools
import json
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
import urllib3

from scripts.environments import serving_pb2 as pb
from scripts.environments.client import PREDICT, predict_request

TIMEOUT_SECONDS = 30
QUESTIONS = [7.0, *[1.0] * 49]
CHANNELS = 2  # of a pool, used in turn
OWN = ("grpc.use_local_subchannel_pool", 1)  # else the channels of one process share a connection
AGAIN = urllib3.Retry(3, backoff_factor=0.1, allowed_methods=None)


class ErrorAnswer(Exception):
    """The server has answered, with an error: no client's connection explains that."""


class Load:
    def __init__(self, host: str, model: str, per_second: float, kept: int):
        self.host, self.path, self.model, self.kept = host, f"/v1/models/{model}:predict", model, kept
        self.pause = 1 / per_second
        self.rest: collections.Counter[str] = collections.Counter()
        self.grpc: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.cut: list[str] = []
        self.last: dict[str, float] = {}
        self.stopped = asyncio.Event()

    async def repeat(self, ask, count: collections.Counter[str], lost: list[str]) -> None:
        for x in itertools.cycle(QUESTIONS):
            if self.stopped.is_set():
                return
            begin = time.monotonic()
            try:
                answer = await asyncio.wait_for(ask(x), TIMEOUT_SECONDS)
                count[answer] += 1
                self.last[answer] = time.time()
            except Exception as error:
                words = f"{time.strftime('%H:%M:%S')} {ask.__name__}: {type(error).__name__} {error}"
                (self.failures if isinstance(error, ErrorAnswer) else lost).append(words)
            await asyncio.sleep(max(0, self.pause - (time.monotonic() - begin)))

    async def ask_by_a_new_connection(self, x: float) -> str:
        reader, writer = await asyncio.open_connection(self.host, 8501)
        try:
            head = f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(_body(x))}\r\n\r\n".encode() + _body(x))
            answer = await reader.read()
        finally:
            writer.close()
        head, _, content = answer.partition(b"\r\n\r\n")
        return _answer(int(head[9:12] or 0), content, x)

    async def pool_worker(self, retries: urllib3.Retry | bool, lost: list[str]) -> None:
        url = f"http://{self.host}:8501{self.path}"
        with urllib3.PoolManager(retries=retries, timeout=TIMEOUT_SECONDS) as pool:

            def ask(x: float) -> str:
                response = pool.request("POST", url, body=_body(x))
                return _answer(response.status, response.data, x)

            async def ask_by_a_pool(x: float) -> str:
                return await asyncio.to_thread(ask, x)

            await self.repeat(ask_by_a_pool, self.rest, lost)

    async def blind_worker(self) -> None:
        connection = http.client.HTTPConnection(self.host, 8501, timeout=TIMEOUT_SECONDS)

        def ask(x: float) -> str:
            try:
                connection.request("POST", self.path, _body(x))
                response = connection.getresponse()
                return _answer(response.status, response.read(), x)
            except (OSError, http.client.HTTPException):
                connection.close()  # or it could not be used again
                raise

        async def ask_blindly(x: float) -> str:
            return await asyncio.to_thread(ask, x)

        await self.repeat(ask_blindly, self.rest, self.cut)
        connection.close()

    async def grpc_worker(self) -> None:
        questions = {x: predict_request(self.model, {"x": [[x]]}, {"x": "float32"}) for x in QUESTIONS}
        channels = [grpc.aio.insecure_channel(f"{self.host}:8500", [OWN]) for _ in range(CHANNELS)]
        types = (pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString)
        calls = itertools.cycle([channel.unary_unary(PREDICT, *types) for channel in channels])

        async def ask_by_grpc(x: float) -> str:
            response = await next(calls)(questions[x])
            (output,) = response.outputs.values()
            return f"{response.model_spec.version.value} {output.float_val[0] / x}"

        await self.repeat(ask_by_grpc, self.grpc, self.failures)
        for channel in channels:
            await channel.close()

    async def until_answered(self) -> None:
        """A Service that is seconds old may not be known to the node's proxy yet."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                await self.ask_by_a_new_connection(1.0)
                return
            except OSError:
                await asyncio.sleep(0.1)

    async def run(self) -> None:
        await self.until_answered()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)
        loop.set_default_executor(ThreadPoolExecutor(2 * self.kept + 1))  # a thread for each that keeps its connection
        new = self.repeat(self.ask_by_a_new_connection, self.rest, self.failures)
        looking = [self.pool_worker(False, self.cut) for _ in range(self.kept)]
        blind = [self.blind_worker() for _ in range(self.kept)]
        await asyncio.gather(new, *looking, *blind, self.pool_worker(AGAIN, self.failures), self.grpc_worker())
        print(json.dumps({key: getattr(self, key) for key in ("rest", "grpc", "failures", "cut", "last")}))


def _body(x: float) -> bytes:
    return b'{"inputs":{"x":[[%.1f]]}}' % x


def _answer(status: int, content: bytes, x: float) -> str:
    if status != 200:
        raise ErrorAnswer(f"{status} {content[:200]!r}")
    return str(json.loads(content)["outputs"][0][0] / x)


if __name__ == "__main__":
    _, host, model, per_second, kept = sys.argv
    asyncio.run(Load(host, model, float(per_second), int(kept)).run())
