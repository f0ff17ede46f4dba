"""What gRPC adds to HTTP/2: the head of a call, its one message, and how an answer begins and ends."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from ..errors import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, StatusError

MAX_INFLATED = 64 << 20  # bytes of a message that came compressed
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # as zlib names the two formats


@dataclass(slots=True, frozen=True)
class Head:
    """The header fields of a call that matter. `length` is what content-length says, -1 if it is not sent, -2 if it is not valid."""

    method: str
    path: str
    content_type: str
    encoding: str
    timeout: float | None
    length: int

    @classmethod
    def of(cls, fields: Sequence[tuple[bytes, bytes]]) -> Self:
        named = {name: value.decode("latin-1") for name, value in fields}
        return cls(
            named[b":method"],
            named[b":path"],
            named.get(b"content-type", ""),
            named.get(b"grpc-encoding", "identity"),
            _timeout(named.get(b"grpc-timeout", "")),
            _content_length({value for name, value in fields if name == b"content-length"}),
        )


def _content_length(values: set[bytes]) -> int:
    if not values:
        return -1
    value = values.pop()
    return int(value) if not values and value.isdigit() and len(value) < 20 else -2


def _timeout(value: str) -> float | None:
    if not value or value[-1] not in _UNITS or not (value[:-1].isascii() and value[:-1].isdecimal()):
        return None
    return int(value[:-1][:9]) * _UNITS[value[-1]]


def message(data: bytearray, encoding: str, limit: int) -> bytes | StatusError:
    """The one message in the body of a request; a compressed one may inflate to `limit` bytes."""
    if len(data) < 5 or len(data) - 5 != int.from_bytes(data[1:5], "big"):
        return StatusError(INTERNAL, "")
    content = bytes(memoryview(data)[5:])
    if not data[0]:
        return content
    if encoding == "identity":
        return StatusError(INTERNAL, "Compressed flag set with identity or empty encoding")
    if encoding not in _WINDOW_BITS:
        return StatusError(UNIMPLEMENTED, f"Compression algorithm {encoding!r} is not supported")
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        inflated = stream.decompress(content, limit + 1)
    except zlib.error:
        return StatusError(INTERNAL, "Failed to decompress the message")
    if len(inflated) > limit:
        return too_large(len(inflated), limit)
    return inflated if stream.eof else StatusError(INTERNAL, "Failed to decompress the message")


def too_large(size: int, limit: int) -> StatusError:
    return StatusError(RESOURCE_EXHAUSTED, f"SERVER: Received message larger than max ({size} vs. {limit})")


def framed(content: bytes) -> bytes:
    """A message as it goes into the body of an answer."""
    return b"\0" + len(content).to_bytes(4, "big") + content


def literal(name: str, value: str) -> bytes:
    """A header field without indexing and without compression: the same bytes on every connection."""
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


BEGIN = b"\x88" + literal("content-type", "application/grpc") + literal("grpc-accept-encoding", "identity,deflate,gzip")
END = literal("grpc-status", "0")


def error_fields(error: StatusError) -> bytes:
    fields = literal("grpc-status", str(error.code))
    if error.message:
        # Percent-encoded, as gRPC wants a message; a very long one would not fit into the client's limit on headers.
        shown = quote(error.message[:4000].encode("utf-8", "surrogateescape"), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")
        fields += literal("grpc-message", shown)
    return fields
