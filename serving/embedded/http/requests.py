"""Requests of HTTP/1: the head, the framing of the body, and chunks.

This module takes what the event server under TensorFlow Serving takes (a lone line feed ends a line of the head), and refuses in its way
what it refuses. The exception is a request that two readers could frame differently: it gets 400, since a client behind a proxy could use
it to speak for another.
"""

import re
import zlib
from dataclasses import dataclass

MAX_HEAD = 64 * 1024
METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"))

_HEAD_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(r"\r?\n")
_REQUEST_LINE = re.compile(r"([^ ]+) ([^ ]+) HTTP/1\.([01])")
_METHOD = re.compile(r"[A-Za-z]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
_LENGTH = re.compile(r"[0-9]{1,99}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(;[^\r\n]*)?")
_MAX_CHUNK_LINE = 1024
_SINGLE = ("content-length", "transfer-encoding", "host")  # two values are refused: a proxy may go by the other


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


class BadRequest(Exception):
    """A request that gets an HTML answer and a closed connection, before any handler sees it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def find_head(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """Where the head in `buffer` ends, and where what follows it begins; `start` bytes have been searched before.

    Raises BadRequest where a head is too long, however much of it has come.
    """
    match = _HEAD_END.search(buffer, max(0, start - 2))
    if match is None:
        if len(buffer) > MAX_HEAD + 4:
            raise BadRequest(400)
        return None
    end = match.start()
    end -= buffer[end - 1 : end] == b"\r"
    if end > MAX_HEAD:
        raise BadRequest(400)
    return end, match.end()


def parse_head(data: bytes) -> Head:
    """The head in `data`, without the empty line. Raises BadRequest."""
    first, *lines = _LINE_END.split(data.decode("latin-1"))
    match = _REQUEST_LINE.fullmatch(first)
    if match is None or _CONTROL.search(first):
        raise BadRequest(400)
    method, path, minor = match.groups()
    if method not in METHODS:
        raise BadRequest(501 if _METHOD.fullmatch(method) else 400)
    absolute = _ABSOLUTE.match(path)
    if absolute:
        path = path[absolute.end() :] or "/"
    if _BAD_ESCAPE.search(path):
        raise BadRequest(400)
    return _with_framing(method, path, int(minor), _headers(lines), bool(absolute))


def _headers(lines: list[str]) -> dict[str, str]:
    """By lower-case name; of several with one name, the first."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
            raise BadRequest(400)
        name, value = name.lower(), value.strip(" \t")
        if headers.setdefault(name, value) != value and name in _SINGLE:
            raise BadRequest(400)
    return headers


def _with_framing(method: str, path: str, minor: int, headers: dict[str, str], absolute: bool) -> Head:
    length, encoding = headers.get("content-length", "0"), headers.get("transfer-encoding")
    if not _LENGTH.fullmatch(length):
        raise BadRequest(400)
    if encoding is not None and (encoding.lower() != "chunked" or "content-length" in headers or not minor):
        raise BadRequest(400)
    expect = headers.get("expect", "").lower()
    if expect not in ("", "100-continue"):
        raise BadRequest(417)
    connection = headers.get("connection", "").lower()
    keep = minor == 0 and "keep-alive" in connection
    close = absolute or "close" in connection or (minor == 0 and not keep)
    return Head(method, path, minor, headers, int(length), encoding is not None, close, keep, expect != "")


class Chunks:
    """A chunked body as it arrives."""

    def __init__(self, limit: int) -> None:
        self.body, self.too_long = bytearray(), False
        self._limit, self._size, self._trailer = limit, -1, 0

    def feed(self, buffer: bytearray) -> bool:
        """Takes what it can from `buffer`; True when the body is complete (or too long to go on). Raises BadRequest."""
        while True:
            if self._size < 0 and not self._read_size(buffer):
                return False
            if self._size == 0:
                return self._read_trailer(buffer)
            if len(self.body) + self._size > self._limit:
                self.too_long = True
                return True
            if len(buffer) < self._size + 2:
                return False
            if buffer[self._size : self._size + 2] != b"\r\n":
                raise BadRequest(400)
            self.body += memoryview(buffer)[: self._size]
            del buffer[: self._size + 2]
            self._size = -1

    def _read_size(self, buffer: bytearray) -> bool:
        line = _line(buffer, _MAX_CHUNK_LINE)
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise BadRequest(400)
        self._size = int(match[1], 16)
        return True

    def _read_trailer(self, buffer: bytearray) -> bool:
        while (line := _line(buffer, MAX_HEAD)) is not None:
            if not line:
                return True
            self._trailer += len(line) + 2
            if self._trailer > MAX_HEAD:
                raise BadRequest(400)
        return False


def _line(buffer: bytearray, limit: int) -> bytes | None:
    """The next line. Only CR and LF together may end it, since readers differ on whether a lone one does."""
    end = buffer.find(b"\n", 0, limit + 2)
    if end < 0:
        if len(buffer) >= limit + 2:
            raise BadRequest(400)
        return None
    line = bytes(buffer[: end + 1])
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise BadRequest(400)
    del buffer[: end + 1]
    return line[:-2]


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
