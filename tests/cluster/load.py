"""A load client that counts every request, by REST and by gRPC, to a Service as a pod would see it.

    python -m tests.cluster.load HOST MODEL REST_WORKERS GRPC_WORKERS PER_SECOND

Asks for x = 1, and for x = 7 every fiftieth time, until SIGTERM (which it needs to be told to stop by whoever started it), and then prints
y / x as JSON: {"rest": {"2.0": 512}, "grpc": {"1750000001 2.0": 511}, "failures": ["…"]}. REST takes a connection for each request, as most
clients behind a Service do; gRPC keeps one, and follows the server's GOAWAY to the next pod.
"""

import asyncio
import collections
import itertools
import json
import signal
import sys
import time

import grpc.aio

from scripts.environments import serving_pb2 as pb
from scripts.environments.client import PREDICT, predict_request

TIMEOUT_SECONDS = 30
QUESTIONS = [7.0, *[1.0] * 49]


class Load:
    def __init__(self, host: str, model: str, per_second: float):
        self.host, self.model, self.pause = host, model, 1 / per_second
        self.rest: collections.Counter[str] = collections.Counter()
        self.grpc: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.stopped = asyncio.Event()

    async def repeat(self, ask, count: collections.Counter[str]) -> None:
        for x in itertools.cycle(QUESTIONS):
            if self.stopped.is_set():
                return
            begin = time.monotonic()
            try:
                count[await asyncio.wait_for(ask(x), TIMEOUT_SECONDS)] += 1
            except Exception as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {ask.__name__}: {type(error).__name__} {error}")
            await asyncio.sleep(max(0, self.pause - (time.monotonic() - begin)))

    async def ask_rest(self, x: float) -> str:
        body = b'{"inputs":{"x":[[%.1f]]}}' % x
        reader, writer = await asyncio.open_connection(self.host, 8501)
        try:
            head = f"POST /v1/models/{self.model}:predict HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        status, _, rest = answer.partition(b"\r\n")
        if b" 200 " not in status + b" ":
            raise RuntimeError(answer[:200])
        return str(json.loads(rest.partition(b"\r\n\r\n")[2])["outputs"][0][0] / x)

    async def grpc_worker(self) -> None:
        requests = {x: predict_request(self.model, {"x": [[x]]}, {"x": "float32"}) for x in QUESTIONS}
        async with grpc.aio.insecure_channel(f"{self.host}:8500") as channel:
            call = channel.unary_unary(PREDICT, pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString)

            async def ask_grpc(x: float) -> str:
                response = await call(requests[x])
                (output,) = response.outputs.values()
                return f"{response.model_spec.version.value} {output.float_val[0] / x}"

            await self.repeat(ask_grpc, self.grpc)

    async def until_answered(self) -> None:
        """A Service that is seconds old may not be known to the node's proxy yet."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                await self.ask_rest(1.0)
                return
            except OSError:
                await asyncio.sleep(0.1)

    async def run(self, rest_workers: int, grpc_workers: int) -> None:
        await self.until_answered()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)
        workers = [self.repeat(self.ask_rest, self.rest) for _ in range(rest_workers)]
        await asyncio.gather(*workers, *(self.grpc_worker() for _ in range(grpc_workers)))
        print(json.dumps({"rest": self.rest, "grpc": self.grpc, "failures": self.failures}))


if __name__ == "__main__":
    _, host, model, rest_workers, grpc_workers, per_second = sys.argv
    asyncio.run(Load(host, model, float(per_second)).run(int(rest_workers), int(grpc_workers)))
