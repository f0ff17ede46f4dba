"""Header fields of HTTP/2: packed ones are read and judged, answers are written without packing."""

import re
from collections.abc import Sequence

import hpack

from .frames import COMPRESSION, MAX_BLOCK, ConnectionFault
from .grpc import Head

Fields = Sequence[tuple[bytes, bytes]]

_MAX_KEPT, _MAX_KEPT_BYTES = 64, 4096  # how many blocks are kept with their meaning, and the largest size of one
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED = (b":method", b":scheme", b":path")
_OF_ONE_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")  # a token without capitals
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$")


def are_well_formed(fields: Fields) -> bool:
    """Whether these may begin a request (RFC 9113, 8.2 and 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    for at, (name, value) in enumerate(fields):
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or at != len(pseudo):
                return False
            pseudo[name] = value
    return all(pseudo.get(name) for name in _REQUIRED) and _are_fields(fields)


def may_trail(fields: Fields) -> bool:
    """Whether these may end a request."""
    return _are_fields(fields) and not any(name[:1] == b":" for name, _ in fields)


def _are_fields(fields: Fields) -> bool:
    return not any(
        not _NAME.fullmatch(name)
        or _BAD_VALUE.search(value)
        or name in _OF_ONE_CONNECTION
        or (name == b"te" and value != b"trailers")
        for name, value in fields
    )


class Blocks:
    """The header blocks of one connection, in the order they come.

    A block that has come before (on a kept connection all but the first) is found in a dictionary, for as long as the
    table of packed fields stays what it is.
    """

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MAX_BLOCK)
        self._kept: dict[bytes, Head | None] = {}

    def head(self, block: bytes) -> Head | None:
        """The head of a call; None if it is malformed. Raises ConnectionFault."""
        if block in self._kept:
            return self._kept[block]
        fields, same = self._unpack(block)
        head = Head.of(fields) if are_well_formed(fields) else None
        if same and len(self._kept) < _MAX_KEPT and len(block) <= _MAX_KEPT_BYTES:
            self._kept[block] = head
        return head

    def trailers(self, block: bytes) -> bool:
        """Whether the block may end a request. Raises ConnectionFault."""
        return may_trail(self._unpack(block)[0])

    def _unpack(self, block: bytes) -> tuple[Fields, bool]:
        """The fields, and whether the table has stayed as it was."""
        table = self._decoder.header_table
        first, count, size = next(iter(table.dynamic_entries), None), len(table.dynamic_entries), table.maxsize
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except (hpack.HPACKError, UnicodeDecodeError, IndexError):
            raise ConnectionFault(COMPRESSION) from None
        entries = table.dynamic_entries
        same = first is next(iter(entries), None) and (count, size) == (len(entries), table.maxsize)
        if not same:
            self._kept.clear()
        return fields, same
