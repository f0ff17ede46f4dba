"""HTTP/2: what a broken or hostile client gets, and what it can make the server do and hold.

The connection is the real one; the transport collects what it writes. Bounds are counts of frames, calls and bytes, never seconds.
"""

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable
from itertools import pairwise

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.embedded.errors import StatusError
from serving.embedded.http import connection, http2
from serving.embedded.http.frames import (
    ACK,
    CALM,
    COMPRESSION,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    MAX_WINDOW,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL,
    PUSH,
    REFUSED,
    RESET,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW,
    WITH_PRIORITY,
    code_frame,
    frame,
)

HELLO = PREFACE + frame(SETTINGS, 0, 0)
BOTH = END_STREAM | END_HEADERS
FIELDS = (
    *((":method", "POST"), (":scheme", "http"), (":path", "/echo"), (":authority", "a")),
    *(("te", "trailers"), ("content-type", "application/grpc")),
)
MESSAGE = b"\0\0\0\0\3abc"


class Transport:
    """Collects what a connection writes."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def writelines(self, pieces: list[bytes | memoryview]) -> None:
        self.pieces += pieces

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of each frame written."""
        data, found = b"".join(self.pieces), []
        while data:
            size = int.from_bytes(data[:3], "big")
            found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
            data = data[9 + size :]
        return found


class Peer:
    """A client of one connection whose calls are answered by `echo`, or by `unary`."""

    def __init__(self, unary: Callable | None = None, options: http2.Options | None = None) -> None:
        self.calls, self.now, self.number = 0, 0.0, -1
        self.pending: list[asyncio.Future] = []
        methods = {"/echo": unary or self._echo, "/wait": self._wait, "/large": lambda *_: bytes(1 << 25)}
        self.server = http2.Server(methods, {}, options or http2.Options())
        self.connection = http2.Connection(self.server, lambda: self.now)
        self.transport = Transport()
        self.connection.connection_made(self.transport)
        self.transport.pieces.clear()  # our own settings

    def _echo(self, data: bytes, timeout: float | None, peer: str) -> bytes | StatusError | Awaitable:
        self.calls += 1
        return data

    def _wait(self, *_) -> asyncio.Future:
        self.calls += 1
        self.pending.append(asyncio.get_running_loop().create_future())
        return self.pending[-1]

    def send(self, *frames: bytes) -> list[tuple[int, int, int, bytes]]:
        """What the connection writes to these, in one piece."""
        self.transport.pieces.clear()
        self.connection.data_received(b"".join(frames))
        return self.transport.frames()


def fields(*changes: tuple[str, str | None], extra: tuple = (), path: str = "/echo") -> bytes:
    """The header block of a call, with fields replaced or (by None) left out, and more at the end."""
    replaced = {":path": path, **dict(changes)}
    kept = [(name, replaced.get(name, value)) for name, value in FIELDS]
    return block(*[(name, value) for name, value in kept if value is not None], *extra)


def block(*pairs: tuple[str, str]) -> bytes:
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*pair) for pair in pairs])


def call(number: int, path: str = "/echo", message: bytes = MESSAGE) -> bytes:
    return frame(HEADERS, END_HEADERS, number, fields(path=path)) + frame(DATA, END_STREAM, number, message)


def code(found: list[tuple[int, int, int, bytes]]) -> tuple[str, int] | None:
    """How the last frame ends a stream or the connection."""
    kind, _, _, payload = found[-1] if found else (None, 0, 0, b"")
    if kind == GOAWAY:
        return "connection", struct.unpack(">II", payload)[1]
    return ("stream", struct.unpack(">I", payload)[0]) if kind == RESET else None


OPEN = frame(HEADERS, END_HEADERS, 1, fields())
VIOLATIONS: dict[str, tuple[bytes, tuple[str, int]]] = {
    "data on stream 0": (frame(DATA, 0, 0, b"x"), ("connection", PROTOCOL)),
    "data on an idle stream": (frame(DATA, 0, 1, b"x"), ("connection", PROTOCOL)),
    "data on a stream of the server's": (OPEN + frame(DATA, 0, 2, b"x"), ("connection", PROTOCOL)),
    "data after its end": (call(1, "/wait") + frame(DATA, 0, 1, b"x"), ("stream", STREAM_CLOSED)),
    "data on an answered stream": (call(1) + frame(DATA, 0, 1, b"x"), ("stream", STREAM_CLOSED)),
    "data after a reset": (OPEN + code_frame(RESET, 1, 8) + frame(DATA, 0, 1, b"x"), ("stream", STREAM_CLOSED)),
    "data with more padding than data": (OPEN + frame(DATA, PADDED, 1, b"\5abcd"), ("connection", PROTOCOL)),
    "data with padding and nothing else": (OPEN + frame(DATA, PADDED, 1), ("connection", PROTOCOL)),
    "headers on stream 0": (frame(HEADERS, BOTH, 0, fields()), ("connection", PROTOCOL)),
    "headers on an even stream": (frame(HEADERS, BOTH, 2, fields()), ("connection", PROTOCOL)),
    "headers on an answered stream": (call(1) + OPEN, ("connection", STREAM_CLOSED)),
    "headers on an earlier stream": (call(5) + frame(HEADERS, BOTH, 3, fields()), ("connection", STREAM_CLOSED)),
    "headers after the end": (call(1, "/wait") + OPEN, ("stream", STREAM_CLOSED)),
    "trailers without the end": (OPEN + frame(HEADERS, END_HEADERS, 1, block(("a", "b"))), ("stream", PROTOCOL)),
    "trailers with a pseudo-field": (OPEN + frame(HEADERS, BOTH, 1, block((":path", "/"))), ("stream", PROTOCOL)),
    "headers on itself": (frame(HEADERS, BOTH | WITH_PRIORITY, 1, b"\0\0\0\1\0" + fields()), ("connection", PROTOCOL)),
    "headers cut in its priority": (frame(HEADERS, BOTH | WITH_PRIORITY, 1, b"\0\0"), ("connection", FRAME_SIZE)),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, b""), ("connection", PROTOCOL)),
    "a continuation of another": (
        frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, END_HEADERS, 3, b""),
        ("connection", PROTOCOL),
    ),
    "a ping between": (frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, bytes(8)), ("connection", PROTOCOL)),
    "a frame that is too large": (frame(DATA, 0, 1, bytes(MAX_FRAME + 1)), ("connection", FRAME_SIZE)),
    "priority on stream 0": (frame(PRIORITY, 0, 0, b"\0\0\0\3\0"), ("connection", PROTOCOL)),
    "priority on itself": (frame(PRIORITY, 0, 3, b"\0\0\0\3\0"), ("connection", PROTOCOL)),
    "priority of another size": (frame(PRIORITY, 0, 1, bytes(4)), ("connection", FRAME_SIZE)),
    "reset of stream 0": (code_frame(RESET, 0, 0), ("connection", PROTOCOL)),
    "reset of an idle stream": (code_frame(RESET, 1, 0), ("connection", PROTOCOL)),
    "reset of another size": (OPEN + frame(RESET, 0, 1, bytes(3)), ("connection", FRAME_SIZE)),
    "settings on a stream": (frame(SETTINGS, 0, 1), ("connection", PROTOCOL)),
    "settings of another size": (frame(SETTINGS, 0, 0, bytes(5)), ("connection", FRAME_SIZE)),
    "an acknowledgement with settings": (frame(SETTINGS, ACK, 0, bytes(6)), ("connection", FRAME_SIZE)),
    "push neither on nor off": (frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), ("connection", PROTOCOL)),
    "window beyond 2^31": (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), ("connection", FLOW_CONTROL)),
    "frames below 2^14": (frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 16383)), ("connection", PROTOCOL)),
    "frames beyond 2^24": (frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1 << 24)), ("connection", PROTOCOL)),
    "a push": (OPEN + frame(PUSH, END_HEADERS, 1, bytes(4)), ("connection", PROTOCOL)),
    "ping on a stream": (frame(PING, 0, 1, bytes(8)), ("connection", PROTOCOL)),
    "ping of another size": (frame(PING, 0, 0, bytes(6)), ("connection", FRAME_SIZE)),
    "goodbye on a stream": (frame(GOAWAY, 0, 1, bytes(8)), ("connection", PROTOCOL)),
    "goodbye of another size": (frame(GOAWAY, 0, 0, bytes(7)), ("connection", FRAME_SIZE)),
    "window of another size": (frame(WINDOW, 0, 0, bytes(3)), ("connection", FRAME_SIZE)),
    "window by 0": (code_frame(WINDOW, 0, 0), ("connection", PROTOCOL)),
    "window of an idle stream": (code_frame(WINDOW, 1, 1), ("connection", PROTOCOL)),
    "window of a stream by 0": (OPEN + code_frame(WINDOW, 1, 0), ("stream", PROTOCOL)),
    "windows that add up to 2^31": (code_frame(WINDOW, 0, MAX_WINDOW - 65534), ("connection", FLOW_CONTROL)),
    "windows of a stream that add up to 2^31": (
        OPEN + code_frame(WINDOW, 1, MAX_WINDOW - 65534),
        ("stream", FLOW_CONTROL),
    ),
    "windows that the settings bring to 2^31": (
        OPEN + code_frame(WINDOW, 1, 1) + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, MAX_WINDOW)),
        ("connection", FLOW_CONTROL),
    ),
    "a header block that is none": (frame(HEADERS, BOTH, 1, b"\xff\xff\xff\xff\xff\xff"), ("connection", COMPRESSION)),
    "a table beyond its limit": (frame(HEADERS, BOTH, 1, b"\x3f\xe2\x1f" + fields()), ("connection", COMPRESSION)),
    "fields that unpack to 16 MiB": (
        frame(HEADERS, BOTH, 1, hpack.Encoder().encode({"a": "x" * 4000}) + b"\xbe" * 4000),
        ("connection", COMPRESSION),
    ),
    "a header block beyond 64 KiB": (frame(HEADERS, BOTH, 1, bytes(65537)), ("connection", CALM)),
}
MALFORMED = {
    "capitals": fields(extra=(("X-a", "b"),)),
    "a blank in a name": fields(extra=(("a b", "c"),)),
    "a line end in a value": fields(extra=(("a", "b\r\nc: d"),)),
    "a zero in a value": fields(extra=(("a", "b\0"),)),
    "connection": fields(extra=(("connection", "close"),)),
    "transfer-encoding": fields(extra=(("transfer-encoding", "chunked"),)),
    "te": fields(("te", "gzip")),
    "an unknown pseudo-field": fields(extra=()) + block((":x", "y")),
    "a pseudo-field of answers": block((":status", "200")) + fields(),
    "a pseudo-field after a field": block(("a", "b")) + fields(),
    "no method": fields((":method", None)),
    "no scheme": fields((":scheme", None)),
    "no path": fields((":path", None)),
    "an empty path": fields(path=""),
    "two methods": block((":method", "GET")) + fields(),
    "two paths": block((":path", "/")) + fields(),
    "two authorities": block((":authority", "b")) + fields(),
    "a content-length that is none": fields(extra=(("content-length", "+8"),)),
    "two content-lengths": fields(extra=(("content-length", "8"), ("content-length", "9"))),
    "a content-length that is too small": fields(extra=(("content-length", "7"),)),
    "a content-length that is too large": fields(extra=(("content-length", "9"),)),
}


def in_loop(test: Callable[[], object]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_breaks_the_protocol_is_refused(name: str) -> None:
    def check() -> None:
        frames, expected = VIOLATIONS[name]
        peer = Peer()
        assert code(peer.send(HELLO, frames)) == expected
        assert peer.transport.closed == (expected[0] == "connection")

    in_loop(check)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_reset_and_never_called(name: str) -> None:
    def check() -> None:
        peer = Peer()
        frames = frame(HEADERS, END_HEADERS, 1, MALFORMED[name]), frame(DATA, END_STREAM, 1, MESSAGE)
        found = peer.send(HELLO, *frames)
        assert code(found) == ("stream", PROTOCOL) and peer.calls == 0
        assert found.count(found[-1]) == 1  # and its data is not a second fault
        assert [kind for kind, *_ in peer.send(call(3))] == [HEADERS, DATA, HEADERS]

    in_loop(check)


@pytest.mark.parametrize(
    "hello", [b"GET / HTTP/1.1\r\n\r\n", PREFACE + frame(PING, 0, 0, bytes(8)), PREFACE[:-1] + b"x"]
)
def test_a_greeting_that_is_none_ends_the_connection(hello: bytes) -> None:
    in_loop(lambda: _check_greeting(hello))


def _check_greeting(hello: bytes) -> None:
    assert code(Peer().send(hello)) == ("connection", PROTOCOL)


CONVERSATION = HELLO + b"".join(
    (
        *(call(1), frame(PING, 0, 0, b"12345678"), frame(HEADERS, PADDED, 3, b"\3" + fields()[:7] + bytes(3))),
        *(frame(CONTINUATION, 0, 3), frame(CONTINUATION, END_HEADERS, 3, fields()[7:])),
        *(frame(DATA, PADDED, 3, b"\2\0\0\0\0\3abc\0\0"), frame(HEADERS, BOTH, 3, block(("a", "b")))),
        *(frame(77, 0, 0, b"unknown"), call(5, "/nope"), call(7, message=b"")),
    )
)


@given(st.lists(st.integers(1, len(CONVERSATION) - 1), max_size=8))
def test_frames_do_not_depend_on_how_they_arrive(cuts: list[int]) -> None:
    def check() -> None:
        whole, peer = Peer(), Peer()
        expected = whole.send(CONVERSATION)
        assert whole.calls == 2
        places = [0, *sorted(set(cuts)), len(CONVERSATION)]
        for start, end in pairwise(places):
            peer.connection.data_received(CONVERSATION[start:end])
        assert peer.transport.frames() == expected

    in_loop(check)


FLOODS = {
    "ping": frame(PING, 0, 0, bytes(8)),
    "settings": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1)),
    "priority": frame(PRIORITY, 0, 3, b"\0\0\0\1\0"),
    "windows": code_frame(WINDOW, 0, 1),
    "empty data": frame(DATA, 0, 1),
    "stray data": frame(DATA, 0, 3, b"x"),
    "resets of what has ended": code_frame(RESET, 3, 8),
    "unknown frames": frame(99, 0, 0, b"x"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_that_bring_nothing_on_ends_the_connection(name: str) -> None:
    """With a call open, and one that is over; a call that is answered between lets the client go on."""

    def check() -> None:
        peer = Peer()
        peer.send(HELLO, OPEN, call(3))
        for number in range(5, 9, 2):
            assert code(peer.send(FLOODS[name] * 400, call(number))) is None
        assert code(peer.send(FLOODS[name] * 12_000)) == ("connection", CALM)

    in_loop(check)


def test_a_flood_of_continuations_ends_the_connection() -> None:
    def check() -> None:
        peer = Peer()
        peer.send(HELLO, frame(HEADERS, 0, 1))
        assert code(peer.send(frame(CONTINUATION, 0, 1) * 12_000)) == ("connection", CALM)

    in_loop(check)


def test_rapid_reset_ends_the_connection() -> None:
    """CVE-2023-44487: calls that are reset at once would be started without end, since none of them counts as open."""

    def check() -> None:
        peer = Peer()
        peer.send(HELLO)
        for number in range(1, 10_000, 2):
            found = peer.send(call(number, "/wait"), code_frame(RESET, number, 8))
            if peer.transport.closed:
                break
        assert code(found) == ("connection", CALM) and peer.calls <= 1001

    in_loop(check)


def test_calls_in_work_are_capped_whether_or_not_the_client_waits_for_them() -> None:
    async def check() -> None:
        peer = Peer()
        peer.send(HELLO)
        for at in range(2000):
            assert code(peer.send(call(2 * at + 1, "/wait"))) is None
        peer.send(code_frame(RESET, 1, 8), code_frame(RESET, 3, 8))
        refused = code(peer.send(call(4001, "/wait")))
        assert refused == ("stream", REFUSED) and peer.calls == 2000
        assert code(peer.send(*[frame(DATA, 0, 4001, bytes(1 << 20))] * 3)) is None  # what was sent before it knew
        assert code(peer.send(call(4003, "/wait"))) == ("stream", REFUSED)
        peer.pending[0].set_result(b"")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert code(peer.send(call(4005, "/wait"))) is None and peer.calls == 2001

    asyncio.run(check())


def test_a_large_answer_is_cut_without_a_copy() -> None:
    """32 MiB in frames of 16 KiB to a client that takes all of it, or a little at a time."""

    def check() -> None:
        peer = Peer()
        sent = peer.send(HELLO, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, MAX_WINDOW)), call(1, "/large"))
        pieces = list(peer.transport.pieces)
        for _ in range(5):
            sent += peer.send(code_frame(WINDOW, 0, 8 << 20))
            pieces += peer.transport.pieces
        assert sum(len(payload) for kind, *_, payload in sent if kind == DATA) == 5 + (1 << 25)
        assert len({id(piece.obj) for piece in pieces if isinstance(piece, memoryview)}) == 1
        assert max(len(payload) for *_, payload in sent) == 1 << 14 and len(sent) < (1 << 11) + 10
        assert peer.connection._sender.held == 0

    in_loop(check)


def test_answers_take_turns_and_none_is_looked_at_in_vain() -> None:
    """The first call has used up its own window with the connection's: only the others wait for the latter."""

    def check() -> None:
        peer = Peer()
        peer.send(HELLO, call(1, "/large"), call(3, "/large"), call(5, "/large"))
        assert list(peer.connection._sender._queue) == [3, 5]
        sent = [peer.send(code_frame(WINDOW, 0, 100)) for _ in range(4)]
        assert [[(number, len(payload)) for _, _, number, payload in found] for found in sent] == [
            [(3, 100)],
            [(5, 100)],
            [(3, 100)],
            [(5, 100)],
        ]

    in_loop(check)


def test_answers_that_are_not_taken_stop_new_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        monkeypatch.setattr(connection, "MAX_HELD", 40 << 20)
        peer = Peer()
        peer.send(HELLO, call(1, "/large"), call(3, "/large"))
        assert code(peer.send(call(5))) == ("stream", REFUSED)
        peer.send(code_frame(RESET, 1, 8))
        assert code(peer.send(call(7))) is None

    in_loop(check)


def test_the_window_is_widened_by_requests_that_are_done_with() -> None:
    """So what all unfinished requests of a connection can take is the window it was given at first."""

    def check() -> None:
        peer = Peer()
        half, message = bytes(700_000), b"\0" + (1_400_000 - 5).to_bytes(4, "big")
        first = frame(DATA, 0, 1, message + half[5:])
        assert peer.send(HELLO, OPEN, first) == [(SETTINGS, ACK, 0, b"")]
        last = peer.send(frame(DATA, END_STREAM, 1, half))
        assert last[0] == (WINDOW, 0, 0, struct.pack(">I", 1_400_000))
        reset = peer.send(
            frame(HEADERS, END_HEADERS, 3, fields()), frame(DATA, 0, 3, bytes(1 << 20)), code_frame(RESET, 3, 8)
        )
        assert reset == [(WINDOW, 0, 0, struct.pack(">I", 1 << 20))]

    in_loop(check)


def test_a_message_beyond_the_limit_is_answered_before_it_ends() -> None:
    def check() -> None:
        peer = Peer(options=http2.Options(max_message=10))
        found = peer.send(HELLO, OPEN, frame(DATA, 0, 1, bytes(16)))
        assert b"grpc-status\x018" in found[-2][3] and code(found) == ("stream", NO_ERROR)
        assert peer.send(frame(DATA, END_STREAM, 1, bytes(9))) == []
        assert [kind for kind, *_ in peer.send(call(3))] == [HEADERS, DATA, HEADERS]

    in_loop(check)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_message_that_inflates_without_end_is_refused(encoding: str) -> None:
    def check() -> None:
        packed = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[encoding])
        data = packed.compress(bytes(2000)) + packed.flush()
        head = frame(HEADERS, END_HEADERS, 1, fields(extra=(("grpc-encoding", encoding),)))
        message = b"\1" + len(data).to_bytes(4, "big") + data
        peer = Peer(options=http2.Options(max_message=1999))
        assert (
            b"grpc-status\x018" in peer.send(HELLO, head, frame(DATA, END_STREAM, 1, message))[-1][3] and not peer.calls
        )
        peer = Peer(options=http2.Options(max_message=2000))
        assert peer.send(HELLO, head, frame(DATA, END_STREAM, 1, message))[-2][3] == b"\0\0\0\7\xd0" + bytes(2000)

    in_loop(check)


def test_calls_that_cross_a_goodbye_are_refused_and_those_in_flight_answered() -> None:
    """What belongs to the refused ones is no fault: their client had not heard yet."""

    async def check() -> None:
        peer = Peer()
        peer.send(HELLO, call(1, "/wait"))
        peer.connection.go_away()
        assert code(peer.send(call(3, "/wait"))) is None
        assert code(peer.send(frame(PING, ACK, 0, b"farewell"))) == ("connection", NO_ERROR)
        assert [kind for kind, *_ in peer.send(call(5))] == [RESET]
        peer.send(frame(DATA, 0, 5, b"late"), frame(HEADERS, BOTH, 5, block(("a", "b"))), code_frame(RESET, 5, 8))
        assert not peer.transport.closed
        for future in peer.pending:
            future.set_result(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert peer.transport.closed and sum(kind == DATA for kind, *_ in peer.transport.frames()) == 2

    asyncio.run(check())


def test_a_table_that_changes_gives_an_old_block_its_new_meaning() -> None:
    """The same bytes name whatever the table holds by then."""

    def check() -> None:
        peer, encoder = Peer(lambda data, *_: b"one"), hpack.Encoder()
        peer.server.methods.unary["/other"] = lambda data, *_: b"two"
        learn = [encoder.encode({":path": path}) for path in ("/echo", "/other")]
        rest = fields((":path", None))
        kept = fields((":path", None)).replace(block((":method", "POST")), block((":method", "POST")) + b"\xbe", 1)

        def ask(number: int, data: bytes) -> bytes:
            found = peer.send(frame(HEADERS, END_HEADERS, number, data), frame(DATA, END_STREAM, number, MESSAGE))
            return found[1][3][5:]

        peer.send(HELLO)
        assert ask(1, learn[0] + rest) == b"one"
        assert [ask(3, kept), ask(5, kept)] == [b"one", b"one"]
        assert ask(7, learn[1] + rest) == b"two"
        assert ask(9, kept) == b"two"

    in_loop(check)
