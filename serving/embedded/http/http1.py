"""HTTP/1.x for the REST front end, as the event server under TensorFlow Serving speaks it.

Written by hand rather than with a parser library: the answers to odd requests (an unknown method is 501 in HTML, a bad
percent escape 400 in HTML, a lone line feed is fine) are part of what clients see, and a head that has come before, as
it does on every kept connection, is found in a dictionary and not parsed again.
"""

import asyncio
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

from ..access import AccessLog
from ..errors import HTTP_REASONS

MAX_HEAD = 64 * 1024
METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"))

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(r"\r?\n")
_REQUEST_LINE = re.compile(r"([^ ]+) ([^ ]+) HTTP/1\.([01])")
_METHOD = re.compile(r"[A-Za-z]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)


@dataclass(slots=True)
class Head:
    """A request without its body. `minor` is the 0 or 1 of HTTP/1.x; header names are in lower case."""

    method: str
    path: str
    minor: int
    headers: dict[str, str]
    length: int
    chunked: bool
    close: bool
    keep: bool
    expects: bool


@dataclass(slots=True)
class Response:
    """An answer; `headers` are complete lines that follow Content-Type."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: str = ""
    close: bool = False


@dataclass(frozen=True)
class Limits:
    """What a request may weigh, in bytes on the wire and after inflating, and how many seconds it may take to arrive."""

    body: int
    inflated: int
    arrival_seconds: float = 60.0


Handler = Callable[[Head, bytes], Response | Awaitable[Response]]


class BadRequest(Exception):
    """A request that gets an HTML answer and a closed connection, before any handler sees it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def html(status: int) -> Response:
    """The page that goes with `status` where no API is reached."""
    reason = HTTP_REASONS[status]
    page = f"<HTML><HEAD>\n<TITLE>{status} {reason}</TITLE>\n</HEAD><BODY>\n<H1>{reason}</H1>\n</BODY></HTML>\n"
    return Response(status, page.encode(), "text/html", close=True)


def parse_head(data: bytes) -> Head:
    """The head in `data`, without the empty line. Raises BadRequest."""
    first, *lines = _LINE_END.split(data.decode("latin-1"))
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise BadRequest(400)
    method, path, minor = match.groups()
    if method not in METHODS:
        raise BadRequest(501 if _METHOD.fullmatch(method) else 400)
    absolute = _ABSOLUTE.match(path)
    if absolute:
        path = path[absolute.end() :] or "/"
    if _BAD_ESCAPE.search(path):
        raise BadRequest(400)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0] in " \t":
            raise BadRequest(400)
        headers.setdefault(name.lower(), value.strip(" \t"))
    return _with_framing(method, path, int(minor), headers, bool(absolute))


def _with_framing(method: str, path: str, minor: int, headers: dict[str, str], absolute: bool) -> Head:
    length = headers.get("content-length", "0")
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    if not (length.isascii() and length.isdecimal() and len(length) < 100) or (
        "transfer-encoding" in headers and not chunked
    ):
        raise BadRequest(400)
    expect = headers.get("expect", "").lower()
    if expect not in ("", "100-continue"):
        raise BadRequest(417)
    connection = headers.get("connection", "").lower()
    keep = minor == 0 and "keep-alive" in connection
    close = absolute or "close" in connection or (minor == 0 and not keep)
    return Head(method, path, minor, headers, int(length), chunked, close, keep, expect != "")


class Date:
    """The current Date header, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def __str__(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_DATE = Date()


def render(response: Response, head: Head | None) -> bytes:
    """The bytes of `response` to the request `head` (None where it could not be read)."""
    status, minor = response.status, head.minor if head else 1
    lines = (
        f"HTTP/1.{minor} {status} {HTTP_REASONS.get(status, 'Unknown')}\r\nContent-Type: {response.content_type}\r\n"
    )
    lines += response.headers
    if response.close:
        lines += "Connection: close\r\n"
    elif head and head.keep:
        lines += "Connection: keep-alive\r\n"
    if minor:
        lines += f"Date: {_DATE}\r\n"
    if (minor or (head and head.keep)) and not (head and head.method == "HEAD"):
        lines += f"Content-Length: {len(response.body)}\r\n"
    if minor and head and head.close and not response.close and "close" in head.headers.get("connection", "").lower():
        lines += "Connection: close\r\n"
    return f"{lines}\r\n".encode("latin-1") + response.body


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
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: _Chunks | None = None  # the body of that head, if it comes in chunks
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
            # One request ahead may wait; a client that pipelines more is made to.
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
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            size = end + 4
        else:
            match = _HEAD_END.search(buffer)
            if match is None:
                if len(buffer) > MAX_HEAD:
                    raise BadRequest(400)
                return None
            end, size = match.start(), match.end()
        if end > MAX_HEAD:
            raise BadRequest(400)
        data = bytes(buffer[:end])
        del buffer[:size]
        head = self._head = self._server.head(data)
        if head.chunked:
            self._chunks = _Chunks(self._server.limits.body)
        if head.expects and head.length <= self._server.limits.body:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _read_chunked(self, head: Head, chunks: "_Chunks") -> tuple[Head, bytes] | None:
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


class _Chunks:
    """A chunked body as it arrives."""

    def __init__(self, limit: int) -> None:
        self.body, self.too_long = bytearray(), False
        self._limit, self._size = limit, -1

    def feed(self, buffer: bytearray) -> bool:
        """Takes what it can from `buffer`; True when the body is complete (or too long to go on)."""
        while True:
            if self._size < 0 and not self._read_size(buffer):
                return self.too_long
            if self._size == 0:
                return self._read_trailer(buffer)
            if len(self.body) + self._size > self._limit:
                self.too_long = True
                return True
            if len(buffer) < self._size + 2:
                return False
            self.body += buffer[: self._size]
            if buffer[self._size : self._size + 2] != b"\r\n":
                raise BadRequest(400)
            del buffer[: self._size + 2]
            self._size = -1

    def _read_size(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\n")
        if end < 0:
            if len(buffer) > 1024:
                raise BadRequest(400)
            return False
        digits = bytes(buffer[:end]).split(b";")[0].strip()
        del buffer[: end + 1]
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", digits):
            raise BadRequest(400)
        self._size = int(digits, 16)
        return True

    def _read_trailer(self, buffer: bytearray) -> bool:
        while True:
            end = buffer.find(b"\n")
            if end < 0:
                if len(buffer) > MAX_HEAD:
                    raise BadRequest(400)
                return False
            line = bytes(buffer[:end]).strip()
            del buffer[: end + 1]
            if not line:
                return True


def inflate(body: bytes, limit: int) -> bytes | None:
    """`body` unzipped: empty if it is no complete gzip stream, None if it would be longer than `limit`."""
    stream = zlib.decompressobj(31)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        return b""
    if len(data) > limit:
        return None
    return data if stream.eof else b""
