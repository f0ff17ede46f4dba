"""Fuzzes the embedded server: python -m tests.serving.fuzz [--requests 100000] [--seed 1] [--models FOLDER]

Sends mutated and made-up REST requests, some in crumbs, gRPC calls with random tensors, and broken HTTP/1 and HTTP/2 bytes. Fails if the
server ends, does not answer in time, or answers in any other than the documented form: for REST a JSON object with the
one key `error` (HTML where no API is reached, nothing for a version beyond 64 bits), for gRPC a status code. Prints the
figures as JSON.
"""

import argparse
import contextlib
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc

from serving.embedded.protos import classification_pb2, predict_pb2, regression_pb2

from . import test_http1, test_http2
from .process import ModelServer

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "conformance" / "recordings"
TIMEOUT = 30.0
MODELS = [
    "clf",
    "dtypes",
    "errs",
    "examples",
    "linear_regression_model",
    "multi",
    "nan",
    "nosig",
    "reg",
    "shapes",
    "cnn",
    "mlp",
]
SIGNATURES = {
    "dtypes": [
        "f64",
        "i32",
        "i64",
        "u8",
        "i8",
        "i16",
        "u16",
        "u32",
        "u64",
        "b",
        "s",
        "s_bytes_out",
        "s_two",
        "f16",
        "bf16",
        "c64",
        "f_in_i_out",
    ],
    "shapes": [
        "fixed",
        "unknown_rank",
        "scalar_in",
        "scalar_out",
        "scalar_two_out",
        "mismatch",
        "rank3",
        "empty_out",
        "matmul",
    ],
    "nan": ["inv", "floats", "floats64", "ident"],
    "multi": ["one_out"],
    "examples": [
        "predict_examples",
        "classify",
        "classify_scores_only",
        "classify_classes_only",
        "regress",
        "regress_y3",
    ],
}
INPUTS = {"linear_regression_model": ["keras_tensor"], "multi": ["a", "b"], "examples": ["inputs", "x"]}
INTERESTING: list[Any] = [
    0,
    1,
    -1,
    255,
    256,
    1 << 31,
    -(1 << 31) - 1,
    1 << 63,
    1 << 64,
    1.5,
    1e39,
    1e308,
    -0.0,
    "",
    "a",
    "é\u0000",
]
INTERESTING += [True, False, None, [], {}, {"b64": "AA=="}, {"b64": "!"}, {"b64": "A", "x": 1}, [[]], [1, [2]]]
TOKENS = [
    b"NaN",
    b"-Infinity",
    b"Inf",
    b"1e400",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"\xff",
]
TOKENS += [
    b"-",
    b"0.",
    b"1e",
    b"//",
    b"[" * 3000,
    b'{"instances":' * 50,
    b"\x00",
    b"1" * 400,
    b'"b64"',
    b"\xef\xbb\xbf",
]


class Failure(Exception):
    """What must not happen."""


class Source:
    """Random requests from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        cases = json.loads((RECORDINGS / "rest.json").read_text())
        posts = [case for case in cases if isinstance(case["request_body"], str) and case["method"] == "POST"]
        self.bodies = [case["request_body"].encode() for case in posts]
        self.pairs = [(case["path"], case["request_body"].encode()) for case in posts if " " not in case["path"]]
        self.paths = [case["path"] for case in cases if case["path"].startswith("/")]

    def value(self, depth: int = 0):
        choose = self.random
        if depth < 4 and choose.random() < 0.5:
            items = [self.value(depth + 1) for _ in range(choose.randint(0, 4))]
            if choose.random() < 0.3:
                return {choose.choice(["a", "b", "x", "keras_tensor", "b64"]): item for item in items}
            return items
        return choose.choice(INTERESTING) if choose.random() < 0.7 else choose.uniform(-1e6, 1e6)

    def signature(self, model: str) -> str:
        """Mostly one that the model has."""
        chosen = self.random.choice(SIGNATURES.get(model, [""]))
        return self.random.choice([chosen, chosen, chosen, "", "serving_default", "__saved_model_init_op", "nope"])

    def array(self):
        """A regular array, as most requests have."""
        shape = [self.random.randint(0, 4) for _ in range(self.random.randint(0, 3))]
        leaf = self.random.choice([1, 1.5, "a", True, {"b64": "AAE="}, -3, 1e30])

        def make(sizes: list[int]):
            return [make(sizes[1:]) for _ in range(sizes[0])] if sizes else leaf

        return make(shape)

    def body(self, model: str) -> bytes:
        choose = self.random
        if choose.random() < 0.6:
            value = self.array() if choose.random() < 0.6 else self.value()
            if choose.random() < 0.2:
                value = [dict.fromkeys(INPUTS.get(model, ["x"]), value)]
            document = {choose.choice(["instances", "instances", "inputs", "examples", "context"]): value}
            signature = self.signature(model)
            return json.dumps(document | ({"signature_name": signature} if signature else {})).encode()
        return self.mutated(choose.choice(self.bodies))

    def mutated(self, original: bytes) -> bytes:
        choose, body = self.random, bytearray(original[:4000])
        for _ in range(choose.randint(0, 4)):
            at = choose.randint(0, len(body))
            kind = choose.randint(0, 3)
            if kind == 0:
                body[at:at] = choose.choice(TOKENS)
            elif kind == 1:
                del body[at : at + choose.randint(1, 8)]
            elif kind == 2 and body:
                body[min(at, len(body) - 1)] = choose.randrange(256)
            else:
                body[at:at] = body[: choose.randint(0, 40)]
        return bytes(body)

    def http(self) -> bytes:
        choose = self.random
        model = choose.choice(MODELS)
        verb = choose.choice(["predict", "predict", "predict", "classify", "regress"])
        path, body = f"/v1/models/{model}:{verb}", self.body(model)
        if choose.random() < 0.3:
            path, body = choose.choice(self.pairs)
            if choose.random() < 0.5:
                body = self.mutated(body)
        elif choose.random() < 0.1:
            path = choose.choice(self.paths)
        method = "POST" if choose.random() < 0.9 else choose.choice(["GET", "PUT", "OPTIONS", "DELETE", "PATCH"])
        head = f"{method} {path} HTTP/1.1\r\nHost: fuzz\r\nContent-Length: {len(body)}\r\n"
        if choose.random() < 0.05:
            head += "Content-Encoding: gzip\r\n"
        if choose.random() < 0.02:
            head += "Expect: 100-continue\r\n"
        return head.encode() + b"\r\n" + body

    def frames(self) -> bytes:
        """HTTP/2 that is broken: a case of test_http2, whole or mutated, a flood, or noise in frames."""
        choose, kind = self.random, self.random.random()
        if kind < 0.3:
            data = test_http2.HELLO + choose.choice(list(test_http2.VIOLATIONS.values()))[0]
        elif kind < 0.5:
            data = (
                test_http2.HELLO
                + test_http2.OPEN
                + choose.choice(list(test_http2.FLOODS.values())) * choose.randint(1, 3000)
            )
        elif kind < 0.8:
            data = test_http2.CONVERSATION
        else:
            sizes = (choose.choice([0, 5, 8, 40, 1 << 21]) for _ in range(choose.randint(1, 5)))
            noise = (size.to_bytes(3, "big") + choose.randbytes(choose.choice([6, 11, 46])) for size in sizes)
            data = test_http2.PREFACE + b"".join(noise)
        return self.mutated(data) if choose.random() < 0.5 else data

    def broken_http(self) -> bytes:
        """HTTP/1 that is broken: a case of test_http1, or a request with some bytes replaced."""
        if self.random.random() < 0.3:
            return self.random.choice(list(test_http1.REFUSED.values()))
        request = bytearray(self.http())
        for _ in range(self.random.randint(1, 5)):
            request[self.random.randrange(min(len(request), 120))] = self.random.randrange(256)
        return bytes(request)

    def tensor(self, tensor) -> None:
        choose = self.random
        tensor.dtype = choose.choice([1, 1, 1, 0, 2, 3, 4, 6, 7, 8, 9, 10, 14, 17, 19, 20, 21, 23, 101])
        for _ in range(choose.choice([0, 1, 1, 2, 2, 3, 4, 9, 300])):
            tensor.tensor_shape.dim.add(size=choose.choice([0, 1, 1, 2, 3, 28, -1, 1 << 20, 1 << 62]))
        if choose.random() < 0.3:
            tensor.tensor_content = choose.randbytes(choose.choice([0, 1, 4, 8, 12, 100]))
        count = choose.choice([0, 1, 2, 3, 784])
        tensor.float_val.extend(choose.uniform(-10, 10) for _ in range(count))
        if choose.random() < 0.3:
            tensor.int_val.extend(choose.randint(-300, 300) for _ in range(count))
            tensor.string_val.extend(choose.randbytes(5) for _ in range(choose.randint(0, 3)))
            tensor.half_val.extend(choose.randint(0, 70000) for _ in range(count))

    def grpc(self) -> tuple[str, bytes]:
        choose = self.random
        model = choose.choice(MODELS)
        if choose.random() < 0.7:
            request = predict_pb2.PredictRequest()
            for alias in choose.choice([INPUTS.get(model, ["x"]), INPUTS.get(model, ["x"]), ["zz"], ["x", "a"], []]):
                self.tensor(request.inputs[alias])
            request.output_filter.extend(choose.choices(["y", "sum", "nope"], k=choose.choice([0, 0, 1, 2])))
            method = "Predict"
        else:
            request = choose.choice([classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest])()
            for _ in range(choose.randint(0, 3)):
                feature = request.input.example_list.examples.add().features.feature[choose.choice(["x", "s", "i"])]
                getattr(feature, choose.choice(["float_list", "int64_list"])).value.extend([1] * choose.randint(0, 3))
            method = "Classify" if isinstance(request, classification_pb2.ClassificationRequest) else "Regress"
        request.model_spec.name = model
        request.model_spec.signature_name = self.signature(model)
        data = bytearray(request.SerializeToString())
        if choose.random() < 0.2 and data:
            data[choose.randrange(len(data))] = choose.randrange(256)
        return f"/tensorflow.serving.PredictionService/{method}", bytes(data)


def read_response(client: socket.socket) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection is still good."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = client.recv(1 << 16)
        if not received:
            raise Failure(f"no answer, but the end of the connection after {data[:200]!r}")
        data += received
    if data.startswith(b"HTTP/1.1 100"):
        data = data.split(b"\r\n\r\n", 1)[1]
        while b"\r\n\r\n" not in data:
            data += client.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        received = client.recv(1 << 16)
        if not received:
            raise Failure(f"answer cut short: {head!r}")
        body += received
    return status, body, b"connection: close" not in head.lower()


def check_rest(status: int, body: bytes, request: bytes) -> None:
    if status == 200 or body.startswith(b"<HTML>") or not body:
        return
    try:
        document = json.loads(body.decode("utf-8", "surrogateescape"))
    except ValueError:
        document = None
    if not isinstance(document, dict) or list(document) != ["error"] or status in (500, 200):
        raise Failure(f"{status} {body[:500]!r} to {request[:2000]!r}")


class Run:
    """Counts what came back, over all threads."""

    def __init__(self, server: ModelServer, total: int, seed: int) -> None:
        self.server, self.seed = server, seed
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0
        self._left, self._lock = total, threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 and not self.failures

    def note(self, kind: str, seconds: float) -> None:
        with self._lock:
            self.counts[kind] += 1
            self.slowest = max(self.slowest, seconds)

    def worker(self, number: int) -> None:
        source = Source(self.seed * 1000 + number)
        kinds = {"rest": self.rest, "grpc": self.grpc, "raw": self.raw, "slow": self.slow}
        with grpc.insecure_channel(f"127.0.0.1:{self.server.grpc_port}") as self_channel:
            state: dict = {"channel": self_channel, "socket": None}
            while self.take():
                kind = source.random.choices(list(kinds), [0.68, 0.27, 0.03, 0.02])[0]
                started = time.monotonic()
                try:
                    outcome = kinds[kind](source, state)
                except (Failure, OSError, ValueError, IndexError) as error:
                    self.failures.append(f"{kind}: {type(error).__name__}: {error}")
                    return
                self.note(outcome, time.monotonic() - started)

    def rest(self, source: Source, state: dict) -> str:
        client = state["socket"]
        if client is None:
            client = state["socket"] = socket.create_connection(("127.0.0.1", self.server.rest_port), TIMEOUT)
        request = source.http()
        client.sendall(request)
        try:
            status, body, good = read_response(client)
        except (Failure, OSError) as error:
            raise Failure(f"{error} to {request[:2000]!r}") from None
        check_rest(status, body, request)
        if not good:
            client.close()
            state["socket"] = None
        return f"REST {status}"

    def grpc(self, source: Source, state: dict) -> str:
        method, data = source.grpc()
        try:
            state["channel"].unary_unary(method)(data, timeout=TIMEOUT)
        except grpc.RpcError as failure:
            error: Any = failure  # a grpc.Call too
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise Failure(f"{error.code().name} {error.details()} to {data!r}") from None
            if error.code() is grpc.StatusCode.INTERNAL and error.details():
                raise Failure(f"INTERNAL {error.details()} to {method} {data!r}") from None
            return f"gRPC {error.code().name}"
        return "gRPC OK"

    def slow(self, source: Source, state: dict) -> str:
        """A request that comes in crumbs, each in a segment of its own, is answered all the same."""
        request = source.http()
        with socket.create_connection(("127.0.0.1", self.server.rest_port), TIMEOUT) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            rest = request
            with contextlib.suppress(ConnectionError):  # refused by its head: the answer is there already
                while rest:
                    size = source.random.randint(1, 1 + len(request) // 20)
                    client.sendall(rest[:size])
                    rest = rest[size:]
            status, body, _ = read_response(client)
        check_rest(status, body, request)
        return f"slow REST {status}"

    def raw(self, source: Source, state: dict) -> str:
        """Bytes that are no request; the server may close, but must not hang on to them or end."""
        choose = source.random
        to_grpc = choose.random() < 0.6
        data = source.frames() if to_grpc else source.broken_http()
        port = self.server.grpc_port if to_grpc else self.server.rest_port
        cut = choose.randint(0, len(data))
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
            try:
                client.sendall(data[:cut])
                client.sendall(data[cut:])
                if choose.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):
                        pass
            except TimeoutError:  # it hangs
                raise
            except OSError:  # it closed before all was sent, or read
                pass
        return "raw HTTP/2" if to_grpc else "raw HTTP/1"


def fuzz(server: ModelServer, total: int, seed: int, workers: int = 6) -> dict:
    """Runs and returns the figures; `failures` is empty if all is well."""
    run = Run(server, total, seed)
    started = time.monotonic()
    threads = [threading.Thread(target=run.worker, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.process.poll()
    if server.process.returncode is not None:
        run.failures.append(f"the server ended with {server.process.returncode}: {server.log.read_text()[-2000:]}")
    else:
        try:
            assert server.predict("linear_regression_model", [[1.0]]) == [[2.5]]
        except (AssertionError, OSError) as error:
            run.failures.append(f"afterwards: {error!r}: {server.log.read_text()[-2000:]}")
    return {
        "requests": sum(run.counts.values()),
        "seconds": round(time.monotonic() - started, 1),
        "slowest_seconds": round(run.slowest, 2),
        "failures": run.failures,
        "answers": dict(sorted(run.counts.items())),
    }


def config(models: Path) -> str:
    entries = (f'config {{ name: "{m}" base_path: "{models / m}" model_platform: "tensorflow" }}' for m in MODELS)
    return f"model_config_list {{ {' '.join(entries)} }}"


def newest_models() -> Path:
    """What the conformance suite has left."""
    return max((ROOT / "build" / "conformance").glob("*/complete")).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path, help="what tests/conformance/models.py has written")
    arguments = parser.parse_args()
    models = arguments.models or newest_models()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models.config").write_text(config(models))
        server = ModelServer(f"--model_config_file={folder}/models.config", log=Path(folder) / "log")
        with server:
            result = fuzz(server, arguments.requests, arguments.seed)
    print(json.dumps(result, indent=1))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
