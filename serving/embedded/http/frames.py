"""HTTP/2's frames (RFC 9113): how one is written, and how what arrives is cut into them."""

import struct
from collections.abc import Callable, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, REFUSED, COMPRESSION, CALM = 0, 1, 3, 5, 6, 7, 9, 11
MAX_FRAME = 1 << 20  # the largest that we take: fewer frames for large messages
MAX_BLOCK = 64 * 1024  # bytes of one call's header fields, packed or not
MAX_WINDOW = (1 << 31) - 1

# For each kind of frame: its size, and whether it is about a stream. None allows any.
_SHAPES: tuple[tuple[int | None, bool | None], ...] = (
    *((None, True), (None, True), (5, True), (4, True), (None, False)),
    *((None, True), (8, False), (None, False), (4, None), (None, True)),
)

Handler = Callable[[int, int, bytes], None]


class ConnectionFault(Exception):
    """The peer broke the protocol: the connection ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Allowance:
    """How much may come that makes no progress: `burst` at once, and `rate` more each second."""

    def __init__(self, burst: int, rate: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._left, self._since = float(burst), clock()

    def spend(self) -> None:
        """Takes one. Raises ConnectionFault when there is none left."""
        self._left -= 1
        if self._left < 0:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now
            if self._left < 0:
                raise ConnectionFault(CALM)

    def refill(self) -> None:
        self._left = self._burst


def head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a frame's payload."""
    return struct.pack(">IBI", size << 8 | kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return head(len(payload), kind, flags, stream) + payload


def code_frame(kind: int, stream: int, code: int) -> bytes:
    """A frame whose payload is one number: RESET, WINDOW."""
    return head(4, kind, 0, stream) + struct.pack(">I", code)


def unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL)
    return payload[1 : len(payload) - payload[0]]


class Reader:
    """Cuts what arrives into frames, and gives each to the handler of its kind: `handler(flags, stream, payload)`.

    The handler of HEADERS gets a header block that is whole: without padding and priority, and with its continuations.
    Every byte is copied a bounded number of times, however small the pieces are in which it arrives.
    """

    def __init__(self, handlers: Sequence[Handler], idle: Allowance) -> None:
        self.greeted = False
        self._handlers, self._idle = handlers, idle
        self._rest, self._need = bytearray(), len(PREFACE)
        self._block: tuple[int, int, bytearray] | None = None  # flags and stream of a block that continues
        self._settled = False

    def feed(self, data: bytes) -> None:
        """Raises ConnectionFault. Nothing may be fed after it."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
        at = self._cut(data, 0 if self.greeted else self._greet(data))
        self._rest = bytearray(data[at:])

    def _greet(self, data: bytes) -> int:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(PROTOCOL)
        self.greeted = len(data) >= len(PREFACE)
        return len(PREFACE) if self.greeted else 0

    def _cut(self, data: bytes, at: int) -> int:
        """Handles the frames from `at` on; returns where the first incomplete one begins."""
        end, self._need = len(data), 9
        while self.greeted and end - at >= 9:
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if size > MAX_FRAME:
                raise ConnectionFault(FRAME_SIZE)
            if end - at - 9 < size:
                self._need = size + 9
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = (data[at + 5] & 0x7F) << 24 | data[at + 6] << 16 | data[at + 7] << 8 | data[at + 8]
            self._take(kind, flags, stream, data[at + 9 : at + 9 + size])
            at += 9 + size
        return at

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise ConnectionFault(PROTOCOL)
        if not self._settled:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(PROTOCOL)
            self._settled = True
        if kind > CONTINUATION:
            self._idle.spend()  # an extension: to be ignored
            return
        size, on_stream = _SHAPES[kind]
        if size is not None and len(payload) != size:
            raise ConnectionFault(FRAME_SIZE)
        if on_stream is not None and on_stream is not (stream > 0):
            raise ConnectionFault(PROTOCOL)
        if kind == HEADERS:
            self._begin_block(flags, stream, payload)
        elif kind == CONTINUATION:
            self._continue_block(flags, stream, payload)
        else:
            self._handlers[kind](flags, stream, payload)

    def _begin_block(self, flags: int, stream: int, payload: bytes) -> None:
        payload = unpadded(flags, payload)
        if flags & WITH_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(FRAME_SIZE)
            check_priority(stream, payload)
            payload = payload[5:]
        if len(payload) > MAX_BLOCK:
            raise ConnectionFault(CALM)
        if flags & END_HEADERS:
            self._handlers[HEADERS](flags, stream, payload)
        else:
            self._block = (flags, stream, bytearray(payload))

    def _continue_block(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[1] != stream:
            raise ConnectionFault(PROTOCOL)
        first, _, block = self._block
        self._idle.spend()
        block += payload
        if len(block) > MAX_BLOCK:
            raise ConnectionFault(CALM)
        if flags & END_HEADERS:
            self._block = None
            self._handlers[HEADERS](first, stream, bytes(block))


def check_priority(stream: int, payload: bytes) -> None:
    """Raises ConnectionFault where a stream is said to depend on itself; priorities mean nothing else here."""
    if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == stream:
        raise ConnectionFault(PROTOCOL)
