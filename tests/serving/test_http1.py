"""HTTP/1: requests that two readers could frame differently are refused, and nothing depends on how the bytes arrive.

The connection is the real one; the transport collects what it writes. Bounds are on work, never on seconds.
"""

import re
from collections.abc import Iterable

import pytest

from serving.embedded.http import http1, requests, responses

LIMIT = 1000  # bytes of a body


class Transport:
    """Collects what a connection writes."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)


def converse(pieces: Iterable[bytes]) -> tuple[list[bytes], bool]:
    """The answers to what arrives in these pieces, each as its status and what it echoes, and whether the connection was closed."""

    def echo(head: requests.Head, body: bytes) -> responses.Response:
        status = 413 if head.length > LIMIT else 200
        return responses.Response(status, head.path.encode() + b" " + body, close=status == 413)

    connection = http1.Server(echo, http1.Limits(LIMIT, LIMIT)).connection()
    connection._watch_arrival = lambda: None
    transport = Transport()
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
    found = re.findall(rb"HTTP/1.. (\d+) [^\n]*\n.*?\r\n\r\n(.*?)(?=HTTP/1|$)", transport.written, re.DOTALL)
    return [status + b" " + body for status, body in found], transport.closed


def post(*lines: bytes, body: bytes = b"", first: bytes = b"POST /a HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines, b"", body))


REFUSED = {
    "two lengths": post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
    "a list of lengths": post(b"Content-Length: 3, 3", body=b"abc"),
    "a length with a sign": post(b"Content-Length: +3", body=b"abc"),
    "a length in hexadecimal": post(b"Content-Length: 0x3", body=b"abc"),
    "no length in it": post(b"Content-Length:", body=b"abc"),
    "a length and chunks": post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks and a length": post(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"),
    "a blank before the colon": post(b"Content-Length : 3", body=b"abc"),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"),
    "a line that goes on": post(b"Content-Length:", b" 3", body=b"abc"),
    "a name with a control character": post(b"Content-\x00Length: 3", body=b"abc"),
    "a name that is empty": post(b": 3"),
    "a value with a lone carriage return": post(b"A: b\rContent-Length: 3", body=b"abc"),
    "a value with a zero": post(b"A: b\0"),
    "a path with a control character": post(first=b"POST /a\x0b HTTP/1.1"),
    "another encoding": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "two encodings": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "an encoding twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": post(b"Transfer-Encoding: chunked", first=b"POST /a HTTP/1.0", body=b"0\r\n\r\n"),
    "two hosts": post(b"Host: a", b"Host: b"),
    "three words and more": post(first=b"POST /a HTTP/1.1 HTTP/1.1"),
    "a head beyond 64 KiB": post(b"A: " + b"b" * 65536),
    "a head that never ends": b"POST /a HTTP/1.1\r\n" + b"A: b\r\n" * 11_000,
}
BAD_CHUNKS = {
    "a size that ends in a lone line feed": b"3\nabc\r\n0\r\n\r\n",
    "a size with a lone carriage return": b"3\r;\r\nabc\r\n0\r\n\r\n",
    "an extension with a lone line feed": b"3;a\nabc\r\n0\r\n\r\n",
    "a size that is negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "a size in another form": b"0x3\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a size of 16 digits": b"0000000000000003\r\nabc\r\n0\r\n\r\n",
    "data longer than its size": b"3\r\nabcd\r\n0\r\n\r\n",
    "data that ends in a lone line feed": b"3\r\nabc\n0\r\n\r\n",
    "a trailer that ends in a lone line feed": b"3\r\nabc\r\n0\r\nA: b\n\r\n",
    "an extension without end": b"3;" + b"a" * 2000,
    "trailers without end": b"0\r\n" + b"A: b\r\n" * 11_000,
}
REFUSED |= {name: post(b"Transfer-Encoding: chunked", body=body) for name, body in BAD_CHUNKS.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_framed_in_two_ways_is_refused(name: str) -> None:
    """And nothing after it is read as a request."""
    answers, closed = converse([REFUSED[name] + post(first=b"GET /smuggled HTTP/1.1")])
    assert [answer[:3] for answer in answers] == [b"400"] and closed


TAKEN = {
    "plain": (post(b"Content-Length: 3", body=b"abc"), [b"200 /a abc"]),
    "the same length twice": (post(b"Content-Length: 3", b"content-length: 3", body=b"abc"), [b"200 /a abc"]),
    "empty lines before": (b"\r\n\r\n" + post(first=b"GET /a HTTP/1.1"), [b"200 /a "]),
    "lone line feeds, then pairs": (
        b"GET /a HTTP/1.1\nHost: x\n\n" + post(first=b"GET /b HTTP/1.1") + b"GET /c HTTP/1.1\n\r\n",
        [b"200 /a ", b"200 /b ", b"200 /c "],
    ),
    "pairs, then lone line feeds": (
        post(b"Content-Length: 2", body=b"\n\n") + b"GET /b HTTP/1.1\r\n\n" + post(first=b"GET /c HTTP/1.1"),
        [b"200 /a \n\n", b"200 /b ", b"200 /c "],
    ),
    "chunks": (
        post(b"Transfer-Encoding: Chunked", body=b"2;x=y\r\nab\r\n1 \r\nc\r\n0\r\nT: x\r\n\r\n") + post(),
        [b"200 /a abc", b"200 /a "],
    ),
    "a body beyond the limit": (post(b"Content-Length: 1001", body=b"a" * 1001) + post(), [b"413 /a "]),
    "chunks beyond the limit": (post(b"Transfer-Encoding: chunked", body=b"fffff\r\n"), [b"413 /a "]),
    "a head of just 64 KiB": (post(b"A: " + b"b" * (65536 - 21), b"", b"") + post(), [b"200 /a ", b"200 /a "]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_can_be_framed_in_one_way_is_answered(name: str) -> None:
    sent, expected = TAKEN[name]
    assert converse([sent])[0] == expected


@pytest.mark.parametrize("name", [*TAKEN, *REFUSED])
def test_the_answers_do_not_depend_on_how_the_bytes_arrive(name: str) -> None:
    """Byte by byte, and cut in two at every place."""
    sent = TAKEN[name][0] if name in TAKEN else REFUSED[name]
    whole = converse([sent])
    assert converse(bytes((byte,)) for byte in sent) == whole
    places = range(1, len(sent)) if len(sent) < 1500 else (1, 100, len(sent) // 2, len(sent) - 3, len(sent) - 1)
    assert all(converse([sent[:at], sent[at:]]) == whole for at in places)


class _Counting:
    """A pattern that counts the bytes it is asked to search."""

    def __init__(self, pattern: re.Pattern) -> None:
        self._pattern, self.searched = pattern, 0

    def search(self, buffer: bytearray, start: int) -> re.Match | None:
        self.searched += len(buffer) - start
        return self._pattern.search(buffer, start)


def test_a_head_that_comes_byte_by_byte_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = _Counting(requests._HEAD_END)
    monkeypatch.setattr(requests, "_HEAD_END", counting)
    sent = TAKEN["a head of just 64 KiB"][0]
    converse(bytes((byte,)) for byte in sent)
    assert counting.searched <= 4 * len(sent)
