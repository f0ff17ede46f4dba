"""A load generator that costs little itself: prepared bytes over plain sockets, one process, one event loop.

    python -m tests.benchmarks.serving.load rest 127.0.0.1:8501 /v1/models/m:predict body.json 16 3
    python -m tests.benchmarks.serving.load grpc 127.0.0.1:8500 /tensorflow.serving.PredictionService/Predict body.bin 16 3

Each of the connections has one request in flight. Prints one JSON object: requests answered well, errors, requests per
second, and latency percentiles in milliseconds. gRPC is spoken frame by frame, since a Python gRPC client would be
slower than most of the servers it is to measure.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

WARM_UP_SECONDS = 0.5


class Meter:
    """What has been measured after the warm-up."""

    def __init__(self, seconds: float) -> None:
        self.start = time.perf_counter() + WARM_UP_SECONDS
        self.end = self.start + seconds
        self.latencies: list[float] = []
        self.errors = 0
        self.first_error = ""

    def note(self, sent: float, ok: bool, answer: bytes) -> bool:
        """One answer; False when the time is up."""
        now = time.perf_counter()
        if sent >= self.start:
            if ok:
                self.latencies.append(now - sent)
            else:
                self.errors += 1
                self.first_error = self.first_error or repr(answer[:300])
        return now < self.end

    def report(self) -> dict:
        ordered = sorted(self.latencies) or [0.0]
        seconds = self.end - self.start

        def percentile(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)

        return {
            "requests": len(self.latencies),
            "errors": self.errors,
            "first_error": self.first_error,
            "per_second": round(len(self.latencies) / seconds, 1),
            "p50_ms": percentile(0.5),
            "p99_ms": percentile(0.99),
        }


class Rest(asyncio.Protocol):
    """One kept HTTP connection."""

    def __init__(self, request: bytes, meter: Meter, done: asyncio.Future) -> None:
        self._request, self._meter, self._done = request, meter, done
        self._buffer, self._length = b"", -1

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._length < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            if at >= 0:
                self._length = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
            elif self._buffer.endswith(b"0\r\n\r\n") and b"chunked" in head:
                self._length = len(self._buffer)
            else:
                return
        if len(self._buffer) < self._length:
            return
        answer, self._buffer, self._length = self._buffer, b"", -1
        if self._meter.note(self._sent, answer[9:12] == b"200", answer):
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._meter.end:
            self._meter.errors += 1
            self._meter.first_error = self._meter.first_error or f"connection lost: {exc}"
        if not self._done.done():
            self._done.set_result(None)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing and without compression."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Grpc(asyncio.Protocol):
    """One HTTP/2 connection with one call at a time."""

    DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
    END_STREAM, END_HEADERS, ACK = 1, 4, 1

    def __init__(self, path: str, message: bytes, meter: Meter, done: asyncio.Future) -> None:
        self._meter, self._done = meter, done
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        fields |= {"te": "trailers", "content-type": "application/grpc"}
        self._headers = b"".join(_literal(name.encode(), value.encode()) for name, value in fields.items())
        self._body = b"\x00" + len(message).to_bytes(4, "big") + message
        self._buffer, self._stream, self._received, self._frames = b"", -1, 0, b""

    def connection_made(self, transport) -> None:
        self._transport = transport
        settings = (4).to_bytes(2, "big") + (1 << 30).to_bytes(4, "big")  # how much the server may send unasked
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(self.SETTINGS, 0, 0, settings))
        transport.write(_frame(self.WINDOW, 0, 0, ((1 << 30) - 65535).to_bytes(4, "big")))
        self._send()

    def _send(self) -> None:
        self._stream += 2
        self._sent, self._has_data = time.perf_counter(), False
        frames = [_frame(self.HEADERS, self.END_HEADERS, self._stream, self._headers)]
        pieces = [self._body[at : at + 16384] for at in range(0, len(self._body), 16384)]
        for index, piece in enumerate(pieces):
            frames.append(_frame(self.DATA, int(index == len(pieces) - 1), self._stream, piece))
        self._transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            self._on_frame(kind, flags, payload)

    def _on_frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == self.DATA:
            self._has_data = True
            self._received += len(payload)
            if self._received > 1 << 28:
                self._transport.write(_frame(self.WINDOW, 0, 0, self._received.to_bytes(4, "big")))
                self._received = 0
        elif kind == self.SETTINGS and not flags & self.ACK:
            self._transport.write(_frame(self.SETTINGS, self.ACK, 0, b""))
        elif kind == self.PING and not flags & self.ACK:
            self._transport.write(_frame(self.PING, self.ACK, 0, payload))
        if (kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM) or kind == self.RESET:
            # A call that failed has no message.
            if self._meter.note(self._sent, self._has_data and kind != self.RESET, payload):
                self._send()
            else:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._meter.end:
            self._meter.errors += 1
            self._meter.first_error = self._meter.first_error or f"connection lost: {exc}"
        if not self._done.done():
            self._done.set_result(None)


async def run(protocol: str, address: str, path: str, body: bytes, concurrency: int, seconds: float) -> dict:
    """Drives the server and returns the report."""
    host, port = address.rsplit(":", 1)
    loop, meter = asyncio.get_running_loop(), Meter(seconds)
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    finished = []
    for _ in range(concurrency):
        done = loop.create_future()
        finished.append(done)
        if protocol == "rest":
            client: asyncio.Protocol = Rest(head.encode() + body, meter, done)
        else:
            client = Grpc(path, body, meter, done)
        await loop.create_connection(lambda client=client: client, host, int(port))
    await asyncio.wait(finished, timeout=seconds + WARM_UP_SECONDS + 30)
    return meter.report()


def main() -> None:
    protocol, address, path, file, concurrency, seconds = sys.argv[1:]
    body = Path(file).read_bytes()
    import uvloop

    print(json.dumps(uvloop.run(run(protocol, address, path, body, int(concurrency), float(seconds)))))


if __name__ == "__main__":
    main()
