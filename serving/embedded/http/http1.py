"""HTTP/1.x for the REST front end: the requests of one connection, answered in their order.

Written by hand rather than with a parser library: the answers to odd requests (an unknown method is 501 in HTML, a bad percent escape 400
in HTML, a lone line feed is fine) are part of what clients see, and a head that has come before, as it does on every kept connection, is
found in a dictionary and not parsed again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..access import AccessLog
from .requests import MAX_HEAD, BadRequest, Chunks, Head, find_head, parse_head
from .responses import Response, html, render


@dataclass(frozen=True)
class Limits:
    """What a request may weigh, in bytes on the wire and after inflating, and how many seconds it may take to arrive."""

    body: int
    inflated: int
    arrival_seconds: float = 60.0


Handler = Callable[[Head, bytes], Response | Awaitable[Response]]


class Server:
    """The connections of one listening socket, and what they have in common."""

    def __init__(self, handler: Handler, limits: Limits, access: AccessLog | None = None) -> None:
        self.handler, self.limits, self.access = handler, limits, access
        self.connections: set[Connection] = set()
        self.draining = False
        self.heads: dict[bytes, Head] = {}

    def head(self, data: bytes) -> Head:
        found = self.heads.get(data)
        if found is None:
            found = parse_head(data)
            if len(self.heads) >= 1024:
                self.heads.clear()
            if len(data) < 2048:
                self.heads[data] = found
        return found

    def connection(self) -> "Connection":
        return Connection(self)

    async def drain(self, seconds: float) -> None:
        """Closes what is idle, lets requests in flight finish for at most `seconds`."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()
        deadline = time.monotonic() + seconds
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; what comes meanwhile waits in the buffer."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer, self._searched = bytearray(), 0  # how much of it has been searched for the end of a head
        self._head: Head | None = None
        self._chunks: Chunks | None = None  # the body of that head, if it comes in chunks
        self._busy = self._full = self._paused = self._closing = self._half_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Future | None = None
        self._since = 0.0

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closing = True
        self._stop_timer()  # work in hand goes on, as it does in TensorFlow Serving; its answer has no reader

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._buffer += data
        if self._busy or self._full:
            # The next request may wait in the buffer; a client that pipelines more is not read until then.
            if len(self._buffer) > self._server.limits.body + MAX_HEAD and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            return
        self._advance()

    def eof_received(self) -> bool:
        """A half-closed client still gets the answer it is waiting for."""
        if not self._busy:
            return False
        self._half_closed = True
        return True

    def _advance(self) -> None:
        """Answers as many complete requests as the buffer holds."""
        while not (self._busy or self._full or self._closing):
            try:
                request = self._next_request()
            except BadRequest as error:
                self._send(html(error.status), self._head)
                return
            if request is None:
                self._watch_arrival()
                return
            self._stop_timer()
            self._handle(*request)

    def _next_request(self) -> tuple[Head, bytes] | None:
        head = self._head or self._read_head()
        if head is None:
            return None
        if self._chunks:
            return self._read_chunked(head, self._chunks)
        if head.length > self._server.limits.body:
            return head, b""  # the handler refuses it by its length; the connection cannot be used again
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head = None
        return head, body

    def _read_head(self) -> Head | None:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        found = find_head(buffer, self._searched)
        self._searched = 0 if found else len(buffer)
        if found is None:
            return None
        data = bytes(buffer[: found[0]])
        del buffer[: found[1]]
        head = self._head = self._server.head(data)
        if head.chunked:
            self._chunks = Chunks(self._server.limits.body)
        if head.expects and head.length <= self._server.limits.body:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _read_chunked(self, head: Head, chunks: "Chunks") -> tuple[Head, bytes] | None:
        if not chunks.feed(self._buffer):
            return None
        self._head = self._chunks = None
        if chunks.too_long:
            head = Head(head.method, head.path, head.minor, head.headers, 1 << 62, True, True, False, False)
        return head, bytes(chunks.body)

    def _handle(self, head: Head, body: bytes) -> None:
        self._busy, self._since = True, time.perf_counter()
        result = self._server.handler(head, body)
        if isinstance(result, Response):
            self._finish(head, result)
            return
        self._task = asyncio.ensure_future(result)  # kept, or it might be collected half done
        self._task.add_done_callback(lambda task: self._done(head, task))

    def _done(self, head: Head, task: asyncio.Future) -> None:
        self._finish(head, task.result() if not task.exception() else html(500))
        self._advance()

    def _finish(self, head: Head, response: Response) -> None:
        self._busy = False
        if self._closing:
            return
        self._send(response, head)
        self._read_on()

    def pause_writing(self) -> None:
        """The client does not read its answers: it gets no more of them until it does."""
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._read_on()
        self._advance()

    def _read_on(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._transport.resume_reading()

    def _send(self, response: Response, head: Head | None) -> None:
        too_long = head is not None and head.length > self._server.limits.body
        if self._server.draining or too_long:
            response.close = True
        self._transport.write(render(response, head))
        if self._server.access and head:
            peer = self._transport.get_extra_info("peername")
            client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
            seconds = time.perf_counter() - self._since
            self._server.access.write("REST", f"{head.method} {head.path}", response.status, seconds, client)
        # The body that follows an answer to HEAD would be read as the start of the next one.
        if response.close or self._half_closed or (head and (head.close or head.method == "HEAD")):
            self._closing = True
            self._transport.close()

    def _watch_arrival(self) -> None:
        if self._timer is None and (self._buffer or self._head):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._server.limits.arrival_seconds, self.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def close_if_idle(self) -> None:
        if not self._busy:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()
