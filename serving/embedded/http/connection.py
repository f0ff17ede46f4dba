"""One HTTP/2 connection: frames in, calls begun and answered.

What a client can make it do and hold is bounded: see the numbers below, each with the attack that it stops.
"""

import asyncio
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import grpc
from .calls import Calls
from .fields import Blocks
from .frames import (
    ACK,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    MAX_FRAME,
    MAX_WINDOW,
    NO_ERROR,
    PADDED,
    PING,
    PROTOCOL,
    REFUSED,
    RESET,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW,
    Allowance,
    ConnectionFault,
    Reader,
    check_priority,
    code_frame,
    frame,
    unpadded,
)
from .lifetime import FAREWELL, Lifetime
from .sending import Sender, Stream

if TYPE_CHECKING:
    from .http2 import Server

MAX_HELD = 256 << 20  # bytes of answers that the client does not take; with more it gets no new calls
_GIVE_BACK = 1 << 20  # bytes of finished requests, from which on the client's window is widened by them
_REMEMBERED = 1000  # streams that we ended before the client did: what it sends on them until it knows is ignored
_RESETS, _RESETS_PER_SECOND = 1000, 33  # "rapid reset"; nghttp2's numbers
_IDLE, _IDLE_PER_SECOND = 10_000, 100  # frames that bring no call on: pings, settings, empty data


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: "Server", clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._resets = Allowance(_RESETS, _RESETS_PER_SECOND, clock)
        self._idle = Allowance(_IDLE, _IDLE_PER_SECOND, clock)
        self._reader = Reader([getattr(self, name) for name in _HANDLERS], self._idle)
        self._blocks = Blocks()
        self.streams: dict[int, Stream] = {}
        self._cut: dict[int, None] = {}  # see _REMEMBERED
        self.last = self.accepted = 0  # stream numbers: the latest opened, and the latest not refused
        self._taken = self._done_with = 0  # bytes of our window: taken by requests, and by finished ones

    # --- the connection's life ---

    def connection_made(self, transport) -> None:
        self._transport, self._sender = transport, Sender(transport)
        peer = transport.get_extra_info("peername")
        name = f"ipv4:{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and peer else "unix:"
        self._calls = Calls(self._server.methods, name, transport, self._sender, self._ended)
        self._server.connections.add(self)
        settings = struct.pack(">HIHIHI", 3, self._server.max_calls, 4, MAX_WINDOW, 5, MAX_FRAME)
        transport.write(frame(SETTINGS, 0, 0, settings) + code_frame(WINDOW, 0, MAX_WINDOW - 65535))
        self._life = Lifetime(transport, self, self._server.options)
        self._life.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._life.ended()
        self._server.connections.discard(self)
        self._abandon_all()

    def _abandon_all(self) -> None:
        for stream in self.streams.values():
            self._calls.abandon(stream)
        self.streams.clear()

    def go_away(self) -> None:
        """Asks the client to take its next calls elsewhere; those in flight are answered."""
        self._life.go_away()

    def abort(self) -> None:
        self._life.abort()

    @property
    def greeted(self) -> bool:
        return self._reader.greeted

    def pause_writing(self) -> None:
        """A client that does not read its answers sends no more requests, either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    # --- frames in ---

    def data_received(self, data: bytes) -> None:
        if self._life.closed:
            return
        try:
            self._reader.feed(data)
        except ConnectionFault as fault:
            self._abandon_all()
            self._life.fail(fault.code)

    def _on_headers(self, flags: int, number: int, block: bytes) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            self._on_trailers(flags, stream, block)
        elif number > self.last and number % 2:
            self._open(flags, number, block)
        else:
            self._blocks.trailers(block)  # the table of packed fields has to keep step
            if number not in self._cut:
                raise ConnectionFault(STREAM_CLOSED if number % 2 else PROTOCOL)

    def _open(self, flags: int, number: int, block: bytes) -> None:
        self.last = number
        head = self._blocks.head(block)
        if head is None or head.length == -2:
            self._reset(number, PROTOCOL)
            return
        full = len(self.streams) + self._calls.orphans >= self._server.max_calls or self._sender.held > MAX_HELD
        if self._life.leaving or full:
            self._reset(number, REFUSED)
            return
        self.accepted = number
        stream = self.streams[number] = Stream(number, head, self._sender.initial)
        if flags & END_STREAM:
            self._on_request(stream)

    def _on_trailers(self, flags: int, stream: Stream, block: bytes) -> None:
        well_formed = self._blocks.trailers(block)
        if stream.complete:
            self._reset(stream.number, STREAM_CLOSED)
        elif not well_formed or not flags & END_STREAM:
            self._reset(stream.number, PROTOCOL)
        else:
            self._on_request(stream)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._taken += size
        if self._taken > MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL)
        if flags & PADDED:
            payload = unpadded(flags, payload)
        stream = self.streams.get(number)
        if stream is None or stream.complete:
            self._on_stray_data(number, size)
            return
        if not payload and not flags & END_STREAM:
            self._idle.spend()
        stream.weight += size
        stream.data += payload
        length, limit = stream.head.length, self._server.methods.max_message
        if 0 <= length < len(stream.data):
            self._reset(number, PROTOCOL)
        elif 0 <= limit < len(stream.data) - 5:
            self._calls.answer(stream, grpc.too_large(len(stream.data) - 5, limit))
        elif flags & END_STREAM:
            self._on_request(stream)

    def _on_stray_data(self, number: int, size: int) -> None:
        """Data on a stream that takes none any more."""
        if number > self.last or not number % 2:
            raise ConnectionFault(PROTOCOL)
        self._idle.spend()
        self._give_back(size)
        if number not in self._cut:
            self._reset(number, STREAM_CLOSED)

    def _give_back(self, size: int) -> None:
        """Widens the client's window by what a finished request took."""
        self._done_with += size
        if self._done_with >= _GIVE_BACK:
            self._transport.write(code_frame(WINDOW, 0, self._done_with))
            self._taken -= self._done_with
            self._done_with = 0

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        self._idle.spend()
        check_priority(number, payload)

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if number > self.last or not number % 2:
            raise ConnectionFault(PROTOCOL)
        (self._resets if number in self.streams else self._idle).spend()
        self._forget(number)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(FRAME_SIZE)
        self._resets.spend()  # a new window is given to each stream
        for name, value in struct.iter_unpack(">HI", payload):
            if (name == 2 and value > 1) or (name == 5 and not 16384 <= value < 1 << 24):
                raise ConnectionFault(PROTOCOL)
            if name == 4:
                for stream in self._sender.resize(value, list(self.streams.values())):
                    self._ended(stream)
            elif name == 5:
                self._sender.frame_size = value
        if not flags & ACK:
            self._transport.write(frame(SETTINGS, ACK, 0))

    def _on_push(self, flags: int, number: int, payload: bytes) -> None:
        raise ConnectionFault(PROTOCOL)

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        self._idle.spend()
        if not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        elif payload == FAREWELL:
            self._life.leave()

    def _on_go_away(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE)
        self._life.leaving = True
        self._life.close_if_left()

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        size = int.from_bytes(payload, "big") & MAX_WINDOW
        self._idle.spend()
        if number:
            self._widen(number, size)
            return
        if not size:
            raise ConnectionFault(PROTOCOL)
        for stream in self._sender.widen(size):
            self._ended(stream)

    def _widen(self, number: int, size: int) -> None:
        """The client takes `size` bytes more of one answer."""
        if number > self.last or not number % 2:
            raise ConnectionFault(PROTOCOL)
        stream = self.streams.get(number)
        if stream is None:
            return
        stream.window += size
        if not size or stream.window > MAX_WINDOW:
            self._reset(number, FLOW_CONTROL if size else PROTOCOL)
        elif stream.waiting:
            self._calls.flush(stream)

    # --- streams ---

    def _on_request(self, stream: Stream) -> None:
        """A request has arrived, whole."""
        if 0 <= stream.head.length != len(stream.data):
            self._reset(stream.number, PROTOCOL)
            return
        stream.complete = True
        self._idle.refill()
        self._give_back(stream.weight)
        self._calls.start(stream)

    def _ended(self, stream: Stream) -> None:
        """The answer has been sent; a client that is still asking is told to stop."""
        if stream.complete:
            self._idle.refill()
            self._forget(stream.number)
        else:
            self._reset(stream.number, NO_ERROR)

    def _reset(self, number: int, code: int) -> None:
        self._transport.write(code_frame(RESET, number, code))
        self._cut[number] = None
        if len(self._cut) > _REMEMBERED:
            del self._cut[next(iter(self._cut))]
        self._forget(number)

    def _forget(self, number: int) -> None:
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        self._calls.abandon(stream)
        if not stream.complete:
            self._give_back(stream.weight)
        self._life.close_if_left()


_HANDLERS = (
    *("_on_data", "_on_headers", "_on_priority", "_on_reset", "_on_settings"),
    *("_on_push", "_on_ping", "_on_go_away", "_on_window"),
)
