"""A load generator that uses little CPU: prepared bytes over plain sockets, one process, one event loop.

Each of the connections has one request in flight, as soon as the one before is answered or at a given rate. gRPC is spoken frame by
frame, since a Python gRPC client would be slower than most servers under test.
"""

import asyncio
import time
from typing import Any

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


class Pace:
    """When the next request is due: at once, or `per_second` of them for all connections together.

    A request that has to wait for a connection is late, and its latency counts from when it was due.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second, self._next = per_second, time.perf_counter()

    def due(self) -> float:
        if not self._per_second:
            return time.perf_counter()
        self._next += 1 / self._per_second
        return self._next


class Connection(asyncio.Protocol):
    """Sends the next request when the one before is answered, until the time is up.

    `done` is set once it has ended: by itself, or by the other side, which loses a request while there is time left.
    """

    def __init__(self, meter: Meter, pace: Pace) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._meter, self._pace, self._buffer = meter, pace, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done.done():
            return
        if time.perf_counter() < self._meter.end:
            self._meter.errors += 1
            why = f"connection lost: {exc or 'the other side has closed it'}"
            self._meter.first_error = self._meter.first_error or why
        self.done.set_result(None)

    def _end(self) -> None:
        self.done.set_result(None)
        self._transport.close()

    def _go_on(self) -> None:
        due = self._pace.due()
        if (wait := due - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(wait, self._send, due)
        else:
            self._send(due)

    def _send(self, due: float) -> None:
        if self._transport.is_closing():
            return
        if due > self._meter.end:  # by the clock it may not be over: an event loop's timers may be a millisecond early
            self._end()
        else:
            self._sent = due
            self._transport.write(self._next())

    def _next(self) -> bytes:
        raise NotImplementedError

    def _answered(self, ok: bool, answer: bytes) -> None:
        if self._meter.note(self._sent, ok, answer):
            self._go_on()
        else:
            self._end()


class Rest(Connection):
    """One kept HTTP connection."""

    def __init__(self, request: bytes, meter: Meter, pace: Pace) -> None:
        super().__init__(meter, pace)
        self._request, self._length = request, -1

    def _next(self) -> bytes:
        return self._request

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
        self._answered(answer[9:12] == b"200", answer)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing and without compression."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Grpc(Connection):
    """One HTTP/2 connection with one call at a time, which sends no more than the server's windows let through."""

    DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
    END_STREAM, END_HEADERS, ACK = 1, 4, 1
    INITIAL_WINDOW = 4  # its identifier in SETTINGS

    def __init__(self, path: str, message: bytes, meter: Meter, pace: Pace) -> None:
        super().__init__(meter, pace)
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        fields |= {"te": "trailers", "content-type": "application/grpc"}
        self._headers = b"".join(_literal(name.encode(), value.encode()) for name, value in fields.items())
        self._body = b"\x00" + len(message).to_bytes(4, "big") + message
        self._stream, self._left, self._received, self._asked = -1, b"", 0, False
        self._initial = self._shared = self._window = (
            65535  # bytes that may be sent: on a new stream, on the connection, on this one
        )

    def connection_made(self, transport: Any) -> None:
        # How much the server may send: on a stream, on the connection.
        settings = self.INITIAL_WINDOW.to_bytes(2, "big") + (1 << 30).to_bytes(4, "big")
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(self.SETTINGS, 0, 0, settings))
        transport.write(_frame(self.WINDOW, 0, 0, ((1 << 30) - 65535).to_bytes(4, "big")))
        super().connection_made(transport)

    def _next(self) -> bytes:
        self._stream, self._has_data, self._asked = self._stream + 2, False, True
        self._left, self._window = self._body, self._initial
        return _frame(self.HEADERS, self.END_HEADERS, self._stream, self._headers) + self._data()

    def _data(self) -> bytes:
        frames = []
        while size := max(0, min(len(self._left), self._window, self._shared, 16384)):
            piece, self._left = self._left[:size], self._left[size:]
            self._window, self._shared = self._window - size, self._shared - size
            frames.append(_frame(self.DATA, self.END_STREAM * (not self._left), self._stream, piece))
        return b"".join(frames)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags, stream = self._buffer[3], self._buffer[4], int.from_bytes(self._buffer[5:9], "big")
            payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            self._on_frame(kind, flags, stream, payload)

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == self.DATA:
            self._has_data = True
            self._received += len(payload)
            if self._received > 1 << 28:
                self._transport.write(_frame(self.WINDOW, 0, 0, self._received.to_bytes(4, "big")))
                self._received = 0
        elif kind == self.SETTINGS and not flags & self.ACK:
            self._transport.write(_frame(self.SETTINGS, self.ACK, 0, b"") + self._widen_streams(payload))
        elif kind == self.PING and not flags & self.ACK:
            self._transport.write(_frame(self.PING, self.ACK, 0, payload))
        elif kind == self.WINDOW:
            self._transport.write(self._widen(stream, int.from_bytes(payload, "big")))
        ended = (kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM) or kind == self.RESET
        if ended and stream == self._stream and self._asked:  # a server may reset a stream that it has answered
            self._asked = False
            self._answered(self._has_data and kind != self.RESET, payload)  # a call that failed has no message

    def _widen(self, stream: int, size: int) -> bytes:
        if not stream:
            self._shared += size
        elif stream == self._stream:
            self._window += size
        return self._data()

    def _widen_streams(self, settings: bytes) -> bytes:
        for at in range(0, len(settings), 6):
            if int.from_bytes(settings[at : at + 2], "big") == self.INITIAL_WINDOW:
                initial = int.from_bytes(settings[at + 2 : at + 6], "big")
                self._initial, self._window = initial, self._window + initial - self._initial
        return self._data()


async def run(
    protocol: str, address: str, path: str, body: bytes, clients: int, seconds: float, per_second: float = 0
) -> dict[str, Any]:
    """Asks HOST:PORT by `clients` connections of `protocol` ("rest" or "grpc") for so many seconds, after a warm-up.

    They ask `per_second` times together; 0: as often as they are answered.

    Returns {"requests": answered well, "errors", "first_error", "per_second", "p50_ms", "p99_ms"}. Raises OSError if nobody listens.
    """
    host, port = address.rsplit(":", 1)
    loop, meter, pace = asyncio.get_running_loop(), Meter(seconds), Pace(per_second)
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    def connection() -> Connection:
        return Rest(head.encode() + body, meter, pace) if protocol == "rest" else Grpc(path, body, meter, pace)

    opened = [await loop.create_connection(connection, host, int(port)) for _ in range(clients)]
    await asyncio.wait([protocol.done for _, protocol in opened], timeout=seconds + WARM_UP_SECONDS + 30)
    return meter.report()
