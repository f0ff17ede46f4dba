"""The calls of one HTTP/2 connection: from a request that is whole to an answer that is sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from ..errors import INTERNAL, UNIMPLEMENTED, StatusError
from . import grpc
from .frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from .sending import Sender, Stream

Answer = bytes | StatusError
Unary = Callable[[bytes, float | None, str], Answer | Awaitable[Answer]]
Streaming = Callable[[bytes], AsyncIterator[bytes]]

_LAST = END_HEADERS | END_STREAM


@dataclass(frozen=True)
class Methods:
    """What to call for each path; `max_message` bytes may come in a message, -1 for any number."""

    unary: Mapping[str, Unary]
    streaming: Mapping[str, Streaming] = field(default_factory=dict)
    max_message: int = -1


class Calls:
    """Answers requests; `ended(stream)` is told when an answer has been sent."""

    def __init__(
        self, methods: Methods, peer: str, transport: asyncio.Transport, sender: Sender, ended: Callable[[Stream], None]
    ) -> None:
        self._methods, self._peer = methods, peer
        self._transport, self._sender, self._ended = transport, sender, ended
        self.orphans = 0  # in work, although nobody waits for the answer any more

    def start(self, stream: Stream) -> None:
        """Takes up a request that has arrived, whole."""
        head, methods = stream.head, self._methods
        unary, streaming = methods.unary.get(head.path), methods.streaming.get(head.path)
        if head.method != "POST" or not head.content_type.startswith("application/grpc"):
            status = grpc.literal(":status", "405" if head.method != "POST" else "415")
            self._finish(stream, frame(HEADERS, _LAST, stream.number, status))
            return
        if unary is None and streaming is None:
            self.answer(stream, StatusError(UNIMPLEMENTED, ""))
            return
        limit = grpc.MAX_INFLATED if methods.max_message < 0 else methods.max_message
        message = grpc.message(stream.data, head.encoding, limit)
        stream.data = bytearray()
        if isinstance(message, StatusError):
            self.answer(stream, message)
        elif unary:
            self._call(stream, unary(message, head.timeout, self._peer))
        elif streaming:
            stream.task = asyncio.ensure_future(self._stream_out(stream, streaming(message)))

    def _call(self, stream: Stream, result: Answer | Awaitable[Answer]) -> None:
        if isinstance(result, bytes | StatusError):
            self.answer(stream, result)
            return
        stream.in_work = True
        asyncio.ensure_future(result).add_done_callback(lambda task: self._done(stream, task))

    def _done(self, stream: Stream, task: asyncio.Future) -> None:
        stream.in_work = False
        error = None if task.cancelled() else task.exception()
        if stream.gone:
            self.orphans -= 1
        elif not task.cancelled():
            self.answer(stream, StatusError(INTERNAL, str(error)) if error else task.result())

    async def _stream_out(self, stream: Stream, messages: AsyncIterator[bytes]) -> None:
        self._transport.write(frame(HEADERS, END_HEADERS, stream.number, grpc.BEGIN))
        end = grpc.END
        try:
            async for message in messages:
                self._sender.add(stream, grpc.framed(message))
                self.flush(stream)
        except StatusError as failure:
            end = grpc.error_fields(failure)
        stream.trailers = end
        self.flush(stream)

    def answer(self, stream: Stream, result: Answer) -> None:
        """Sends what flow control lets through; the rest goes out by `flush`."""
        number = stream.number
        if isinstance(result, StatusError):
            self._finish(stream, frame(HEADERS, _LAST, number, grpc.BEGIN + grpc.error_fields(result)))
            return
        body, begin = grpc.framed(result), frame(HEADERS, END_HEADERS, number, grpc.BEGIN)
        if self._sender.fits(stream, len(body)):
            self._sender.window -= len(body)
            self._finish(stream, begin + frame(DATA, 0, number, body) + frame(HEADERS, _LAST, number, grpc.END))
            return
        self._transport.write(begin)
        stream.trailers = grpc.END
        self._sender.add(stream, body)
        self.flush(stream)

    def flush(self, stream: Stream) -> None:
        if self._sender.flush(stream):
            self._ended(stream)

    def _finish(self, stream: Stream, answer: bytes) -> None:
        """A whole answer in one piece."""
        self._transport.write(answer)
        self._ended(stream)

    def abandon(self, stream: Stream) -> None:
        """Nobody waits for the answer any more, or it has been sent."""
        stream.gone = True
        self._sender.drop(stream)
        self.orphans += stream.in_work
        if stream.task:
            stream.task.cancel()
