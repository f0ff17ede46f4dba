"""gRPC over HTTP/2: one connection's frames, streams and flow control, for unary calls and server streams.

Written by hand for speed: for a small model the standard Python gRPC server spends ten times as long on a call as
TensorFlow does. What makes this one quick is that it does little: answers are prepared bytes written in one piece, and
a header block that has come before (on a kept connection all but the first) is found in a dictionary.
"""

import asyncio
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import quote

import hpack

from ..errors import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, StatusError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _, _RESET, _SETTINGS, _, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_PROTOCOL_ERROR, _FLOW_CONTROL, _FRAME_SIZE, _REFUSED, _COMPRESSION, _CALM = 0x1, 0x3, 0x6, 0x7, 0x9, 0xB
_OUR_FRAME = 1 << 20  # the largest frame we take: fewer frames for large messages
_OUR_WINDOW = (1 << 31) - 1  # messages have no limit in TensorFlow Serving
_MAX_HEADERS = 64 * 1024
_MAX_RUNNING = 2000  # calls of one connection
_FAREWELL = b"farewell"  # in the ping whose echo says that the client has read our GOAWAY
_FAREWELL_SECONDS = 1  # for that echo
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

Answer = bytes | StatusError
Unary = Callable[[bytes, float | None, str], Answer | Awaitable[Answer]]
Streaming = Callable[[bytes], AsyncIterator[bytes]]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A header without indexing and without compression: the same bytes on every connection."""
    data = b"\x00"
    for part in (name.encode(), value.encode("latin-1")):
        data += _length(len(part)) + part
    return data


def _length(size: int) -> bytes:
    if size < 127:
        return bytes((size,))
    data, size = b"\x7f", size - 127
    while size >= 128:
        data, size = data + bytes((size & 0x7F | 0x80,)), size >> 7
    return data + bytes((size,))


_BEGIN = (
    b"\x88" + _literal("content-type", "application/grpc") + _literal("grpc-accept-encoding", "identity,deflate,gzip")
)
_END = _literal("grpc-status", "0")


def _error_fields(error: StatusError) -> bytes:
    fields = _literal("grpc-status", str(error.code))
    if error.message:
        # Percent-encoded, as gRPC wants a message; a very long one would not fit into the client's limit on headers.
        shown = quote(error.message[:4000].encode("utf-8", "surrogateescape"), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")
        fields += _literal("grpc-message", shown)
    return fields


@dataclass(frozen=True)
class Options:
    """--grpc_channel_arguments as far as they mean something here; times in seconds, 0 for never."""

    max_message: int = -1
    max_streams: int = 0
    max_age: float = 0.0
    age_grace: float = 0.0
    max_idle: float = 0.0


@dataclass(slots=True)
class Head:
    """The headers of a call that matter."""

    method: str
    path: str
    content_type: str
    encoding: str
    timeout: float | None


@dataclass(slots=True)
class Stream:
    """One call."""

    head: Head
    window: int
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False  # the request has arrived
    pending: bytes = b""  # of the answer, what flow control holds back
    trailers: bytes = b""  # to be sent after it
    task: asyncio.Future | None = None  # of a server stream, which ends with the client


class Server:
    """The calls by path, and all connections."""

    def __init__(self, unary: dict[str, Unary], streaming: dict[str, Streaming], options: Options) -> None:
        self.unary, self.streaming, self.options = unary, streaming, options
        self.connections: set[Connection] = set()
        self.draining = False

    def connection(self) -> "Connection":
        return Connection(self)

    async def drain(self, seconds: float) -> None:
        """Takes no new calls, lets those in flight finish for at most `seconds`."""
        self.draining = True
        for connection in list(self.connections):
            connection.go_away()
        deadline = time.monotonic() + seconds
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()


class _ConnectionError(Exception):
    """The peer broke the protocol: the connection ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._greeted = self._warned = self._leaving = self._closed = False
        self._decoder = hpack.Decoder(max_header_list_size=_MAX_HEADERS)
        self._heads: dict[bytes, Head] = {}  # valid while the decoder's table stays as it is
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._window, self._stream_window, self._frame_size = 65535, 65535, 16384
        self._received = self._running = 0
        self._headers: tuple[int, int, bytes] | None = None  # a block that continues: stream, flags, what is there
        self._timers: list[asyncio.TimerHandle] = []

    # --- the connection's life ---

    def connection_made(self, transport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = f"ipv4:{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and peer else "unix:"
        self._server.connections.add(self)
        settings = struct.pack(">HIHI", 4, _OUR_WINDOW, 5, _OUR_FRAME)
        if self._server.options.max_streams:
            settings += struct.pack(">HI", 3, self._server.options.max_streams)
        transport.write(
            _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, struct.pack(">I", _OUR_WINDOW - 65535))
        )
        self._start_timers()

    def _start_timers(self) -> None:
        loop, options = asyncio.get_running_loop(), self._server.options
        if options.max_age:
            self._timers.append(loop.call_later(options.max_age, self.go_away))
            if options.age_grace:
                self._timers.append(loop.call_later(options.max_age + options.age_grace, self.abort))
        # Nobody may hold a connection without so much as saying hello.
        self._timers.append(loop.call_later(20, lambda: None if self._greeted else self.abort()))
        if options.max_idle:
            self._watch_idle(loop, options.max_idle)

    def _watch_idle(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        last = self._last

        def check() -> None:
            if self._last == last and not self._streams:
                self.go_away()
            elif not self._closed:
                self._watch_idle(loop, seconds)

        self._timers.append(loop.call_later(seconds, check))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._server.connections.discard(self)
        for timer in self._timers:
            timer.cancel()
        for stream in self._streams.values():
            if stream.task:
                stream.task.cancel()
        self._streams.clear()

    def go_away(self) -> None:
        """Asks the client to take its next calls elsewhere, and leaves once it has heard so: what it sends until then is answered."""
        if self._closed or self._warned:
            return
        self._warned = True
        goodbye = _frame(
            _GOAWAY, 0, 0, struct.pack(">II", 0x7FFFFFFF, 0)
        )  # RFC 9113, 6.8: before the last stream is known
        self._transport.write(goodbye + _frame(_PING, 0, 0, _FAREWELL))
        self._timers.append(asyncio.get_running_loop().call_later(_FAREWELL_SECONDS, self._leave))

    def _leave(self) -> None:
        """Takes no new calls, and closes when those in flight have ended."""
        if self._closed:
            return
        if not self._leaving:
            self._leaving = True
            self._transport.write(_frame(_GOAWAY, 0, 0, struct.pack(">II", self._last, 0)))
        if not self._streams:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        """A client that does not read its answers sends no more requests, either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    # --- frames in ---

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        buffer = self._buffer + data if self._buffer else data
        try:
            at = self._consume(buffer, 0 if self._greeted else self._greet(buffer))
        except _ConnectionError as error:
            self._fail(error.code)
            return
        self._buffer = buffer[at:] if at < len(buffer) else b""

    def _greet(self, buffer: bytes) -> int:
        if not PREFACE.startswith(buffer[: len(PREFACE)]):
            raise _ConnectionError(_PROTOCOL_ERROR)
        if len(buffer) < len(PREFACE):
            return 0
        self._greeted = True
        return len(PREFACE)

    def _consume(self, buffer: bytes, at: int) -> int:
        """Handles the complete frames from `at` on; where the first incomplete one begins."""
        if not self._greeted:
            return 0
        size_of = len(buffer)
        while size_of - at >= 9:
            size = buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2]
            if size > _OUR_FRAME:
                raise _ConnectionError(_FRAME_SIZE)
            if size_of - at - 9 < size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = (buffer[at + 5] & 0x7F) << 24 | buffer[at + 6] << 16 | buffer[at + 7] << 8 | buffer[at + 8]
            payload = buffer[at + 9 : at + 9 + size]
            at += 9 + size
            if self._headers is not None and kind != _CONTINUATION:
                raise _ConnectionError(_PROTOCOL_ERROR)
            handler = _FRAMES[kind] if kind < 10 else None
            if handler:
                handler(self, flags, stream, payload)
            if self._closed:
                return size_of
        return at

    def _fail(self, code: int) -> None:
        self._closed = True
        self._transport.write(_frame(_GOAWAY, 0, 0, struct.pack(">II", self._last, code)))
        self._transport.close()

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        payload = _unpadded(flags, payload)
        if flags & _WITH_PRIORITY:
            payload = payload[5:]
        if number % 2 == 0:
            raise _ConnectionError(_PROTOCOL_ERROR)
        if flags & _END_HEADERS:
            self._on_block(flags, number, payload)
        else:
            self._headers = (number, flags, payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._headers is None or self._headers[0] != number:
            raise _ConnectionError(_PROTOCOL_ERROR)
        _, first, block = self._headers
        block += payload
        if len(block) > _MAX_HEADERS:
            raise _ConnectionError(_CALM)
        self._headers = (number, first, block)
        if flags & _END_HEADERS:
            self._headers = None
            self._on_block(first, number, block)

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        head = self._heads.get(block) or self._decode(block)
        stream = self._streams.get(number)
        if stream is None:
            if number <= self._last:
                return  # trailers of a call that has ended
            if self._leaving:
                self._transport.write(_frame(_RESET, 0, number, struct.pack(">I", _REFUSED)))
                return
            # A call goes on when its client resets it, so what runs is counted apart from what is open.
            limit = self._server.options.max_streams
            if (limit and len(self._streams) >= limit) or self._running >= _MAX_RUNNING:
                self._transport.write(_frame(_RESET, 0, number, struct.pack(">I", _REFUSED)))
                return
            self._last = number
            stream = self._streams[number] = Stream(head, self._stream_window)
        if flags & _END_STREAM:
            self._on_request(number, stream)

    def _decode(self, block: bytes) -> Head:
        table = self._decoder.header_table
        entries = table.dynamic_entries
        before = (entries[0] if entries else None, len(entries), table.maxsize)
        try:
            fields = dict(self._decoder.decode(block, raw=True))
        except (hpack.HPACKError, UnicodeDecodeError, IndexError):
            raise _ConnectionError(_COMPRESSION) from None
        head = _head(fields)
        after = (entries[0] if entries else None, len(entries), table.maxsize)
        if before[0] is after[0] and before[1:] == after[1:]:
            if len(self._heads) < 64:
                self._heads[block] = head
        else:
            self._heads.clear()
        return head

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received >= 1 << 20:
            self._transport.write(_frame(_WINDOW, 0, 0, struct.pack(">I", self._received)))
            self._received = self._running = 0
        stream = self._streams.get(number)
        if stream is None or stream.complete:
            if number > self._last or not number:
                raise _ConnectionError(_PROTOCOL_ERROR)
            return
        stream.data += _unpadded(flags, payload)
        limit = self._server.options.max_message
        if 0 <= limit < len(stream.data) - 5:
            message = f"SERVER: Received message larger than max ({len(stream.data) - 5} vs. {limit})"
            stream.complete = True
            self._answer(number, stream, StatusError(RESOURCE_EXHAUSTED, message))
        elif flags & _END_STREAM:
            self._on_request(number, stream)

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.pop(number, None)
        if stream and stream.task:
            stream.task.cancel()
        self._ended()

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) % 6:
            raise _ConnectionError(_PROTOCOL_ERROR if number else _FRAME_SIZE)
        if flags & _ACK:
            return
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == 4:
                if value > _OUR_WINDOW:
                    raise _ConnectionError(_FLOW_CONTROL)
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == 5 and 16384 <= value < 1 << 24:
                self._frame_size = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        self._flush()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise _ConnectionError(_FRAME_SIZE)
        if not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif payload == _FAREWELL:
            self._leave()

    def _on_go_away(self, flags: int, number: int, payload: bytes) -> None:
        self._leaving = True
        self._ended()

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _ConnectionError(_FRAME_SIZE)
        size = struct.unpack(">I", payload)[0] & 0x7FFFFFFF
        if number:
            stream = self._streams.get(number)
            if stream:
                stream.window += size
        else:
            self._window += size
            if self._window > _OUR_WINDOW:
                raise _ConnectionError(_FLOW_CONTROL)
        self._flush()

    # --- calls ---

    def _on_request(self, number: int, stream: Stream) -> None:
        if stream.complete:
            return
        stream.complete = True
        head = stream.head
        if head.method != "POST" or not head.content_type.startswith("application/grpc"):
            fields = _literal(":status", "405" if head.method != "POST" else "415")
            self._finish(number, fields, b"", b"")
            return
        message = self._message(stream)
        streaming = self._server.streaming.get(head.path)
        if isinstance(message, StatusError):
            self._answer(number, stream, message)
        elif streaming:
            stream.task = asyncio.ensure_future(self._stream_out(number, stream, streaming(message)))
        else:
            self._call(number, stream, message)

    def _message(self, stream: Stream) -> bytes | StatusError:
        """The one message of a request."""
        if stream.head.path not in self._server.unary and stream.head.path not in self._server.streaming:
            return StatusError(UNIMPLEMENTED, "")
        data = stream.data
        if len(data) < 5 or len(data) - 5 != int.from_bytes(data[1:5], "big"):
            return StatusError(INTERNAL, "")
        message = bytes(memoryview(data)[5:])
        stream.data = bytearray()
        if not data[0]:
            return message
        if stream.head.encoding not in ("gzip", "deflate"):
            return StatusError(UNIMPLEMENTED, f"Compression algorithm {stream.head.encoding!r} is not supported")
        try:
            return zlib.decompress(message, 31 if stream.head.encoding == "gzip" else 15)
        except zlib.error:
            return StatusError(INTERNAL, "Failed to decompress the message")

    def _call(self, number: int, stream: Stream, message: bytes) -> None:
        result = self._server.unary[stream.head.path](message, stream.head.timeout, self._peer)
        if isinstance(result, bytes | StatusError):
            self._answer(number, stream, result)
            return
        self._running += 1

        def done(task: asyncio.Future) -> None:
            self._running -= 1
            if task.cancelled() or self._closed or self._streams.get(number) is not stream:
                return
            error = task.exception()
            self._answer(number, stream, StatusError(INTERNAL, str(error)) if error else task.result())

        asyncio.ensure_future(result).add_done_callback(done)

    async def _stream_out(self, number: int, stream: Stream, messages: AsyncIterator[bytes]) -> None:
        self._transport.write(_frame(_HEADERS, _END_HEADERS, number, _BEGIN))
        try:
            async for message in messages:
                stream.pending += b"\0" + struct.pack(">I", len(message)) + message
                self._flush()
            error = None
        except StatusError as failure:
            error = failure
        stream.trailers = _error_fields(error) if error else _END
        self._flush()

    def _answer(self, number: int, stream: Stream, result: Answer) -> None:
        if isinstance(result, StatusError):
            self._finish(number, _BEGIN + _error_fields(result), b"", b"")
            return
        body = b"\0" + struct.pack(">I", len(result)) + result
        if len(body) <= self._frame_size and len(body) <= self._window and len(body) <= stream.window:
            self._window -= len(body)
            self._finish(number, _BEGIN, body, _END)
            return
        self._transport.write(_frame(_HEADERS, _END_HEADERS, number, _BEGIN))
        stream.pending, stream.trailers = body, _END
        self._flush()

    def _finish(self, number: int, begin: bytes, body: bytes, end: bytes) -> None:
        """A whole answer in one piece: `begin` alone, or with a body and `end`."""
        if end:
            self._transport.write(
                _frame(_HEADERS, _END_HEADERS, number, begin)
                + _frame(_DATA, 0, number, body)
                + _frame(_HEADERS, _END_HEADERS | _END_STREAM, number, end)
            )
        else:
            self._transport.write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, number, begin))
        self._streams.pop(number, None)
        self._ended()

    def _ended(self) -> None:
        if self._leaving and not self._streams and not self._closed:
            self._transport.close()

    def _flush(self) -> None:
        """Sends what flow control has held back and now allows."""
        for number, stream in list(self._streams.items()):
            while stream.pending:
                size = min(len(stream.pending), self._frame_size, self._window, stream.window)
                if size <= 0:
                    break
                self._transport.write(_frame(_DATA, 0, number, stream.pending[:size]))
                stream.pending = stream.pending[size:]
                self._window -= size
                stream.window -= size
            if stream.trailers and not stream.pending:
                self._transport.write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, number, stream.trailers))
                self._streams.pop(number, None)
        self._ended()


_FRAMES: tuple = (
    Connection._on_data,
    Connection._on_headers,
    None,
    Connection._on_reset,
    Connection._on_settings,
    None,
    Connection._on_ping,
    Connection._on_go_away,
    Connection._on_window,
    Connection._on_continuation,
)


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _ConnectionError(_PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]


def _head(fields: dict[bytes, bytes]) -> Head:
    def text(name: bytes) -> str:
        return bytes(fields.get(name, b"")).decode("latin-1")

    return Head(
        text(b":method"),
        text(b":path"),
        text(b"content-type"),
        text(b"grpc-encoding"),
        _timeout(text(b"grpc-timeout")),
    )


def _timeout(value: str) -> float | None:
    if not value or value[-1] not in _UNITS or not (value[:-1].isascii() and value[:-1].isdecimal()):
        return None
    return int(value[:-1][:9]) * _UNITS[value[-1]]
