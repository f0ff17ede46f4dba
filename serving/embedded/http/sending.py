"""Flow control of what one HTTP/2 connection sends: what the client lets through goes out, the rest waits."""

import asyncio
from dataclasses import dataclass, field

from .frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    HEADERS,
    MAX_WINDOW,
    ConnectionFault,
    frame,
    head,
)
from .grpc import Head


@dataclass(slots=True, eq=False)
class Stream:
    """One call."""

    number: int
    head: Head
    window: int  # bytes that may be sent on it
    data: bytearray = field(default_factory=bytearray)  # of the request
    weight: int = 0  # what its frames took of our window, padding included
    complete: bool = False  # the request has arrived
    in_work: bool = False
    gone: bool = False  # answered, or reset
    answer: bytes = b""
    sent: int = 0  # bytes of the answer
    trailers: bytes = b""  # to be sent after it
    task: asyncio.Future | None = None  # of a server stream, which ends with the client

    @property
    def waiting(self) -> int:
        """Bytes of the answer that flow control holds back."""
        return len(self.answer) - self.sent


class Sender:
    """The windows of one connection, and the answers that wait for them."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.window = self.initial = 65535
        self.frame_size = 16384
        self.held = 0  # bytes that wait, of all streams
        self._queue: dict[
            int, Stream
        ] = {}  # those which only the connection's window holds up; the next in turn is first

    def fits(self, stream: Stream, size: int) -> bool:
        """Whether an answer of `size` bytes may go out at once, in one frame."""
        return size <= self.frame_size and size <= self.window and size <= stream.window

    def add(self, stream: Stream, data: bytes) -> None:
        """Appends to the answer of a stream."""
        stream.answer, stream.sent = stream.answer[stream.sent :] + data, 0
        self.held += len(data)

    def drop(self, stream: Stream) -> None:
        """What waits on this stream is not wanted any more."""
        self.held -= stream.waiting
        stream.answer, stream.sent = b"", 0
        self._queue.pop(stream.number, None)

    def flush(self, stream: Stream) -> bool:
        """Sends what may be sent; True if that was the end of the answer."""
        size = min(stream.waiting, self.window, stream.window)
        if size > 0:
            self._send(stream, size)
        self._queue.pop(stream.number, None)
        if stream.waiting:
            if stream.window > 0:
                self._queue[stream.number] = stream
            return False
        if stream.trailers:
            self._transport.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.number, stream.trailers))
        return bool(stream.trailers)

    def _send(self, stream: Stream, size: int) -> None:
        """`size` bytes of the answer, in frames that are views of it: cutting costs nothing, however long it is."""
        view, end = memoryview(stream.answer), stream.sent + size
        pieces: list[bytes | memoryview] = []
        for at in range(stream.sent, end, self.frame_size):
            piece = view[at : min(at + self.frame_size, end)]
            pieces += (head(len(piece), DATA, 0, stream.number), piece)
        self._transport.writelines(pieces)
        stream.sent = end
        self.held -= size
        self.window -= size
        stream.window -= size

    def widen(self, size: int) -> list[Stream]:
        """The client takes `size` bytes more on the connection; returns the streams whose answers are now sent."""
        self.window += size
        if self.window > MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL)
        ended = []
        while self._queue and self.window > 0:
            stream = next(iter(self._queue.values()))
            if self.flush(stream):
                ended.append(stream)
        return ended

    def resize(self, initial: int, streams: list[Stream]) -> list[Stream]:
        """The client gives each stream another window; returns the streams whose answers are now sent."""
        if initial > MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL)
        for stream in streams:
            stream.window += initial - self.initial
            if stream.window > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL)
        self.initial = initial
        return [stream for stream in streams if stream.waiting and self.flush(stream)]
