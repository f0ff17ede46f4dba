"""The fast way through a large array of numbers, the usual body of a `:predict` request.

A regular nested array is recognised by its brackets and commas alone. They are compared as bytes with what the shape implies,
and the numbers between them are read as one flat list: nothing is built for the inner lists, of which an image has one
per pixel. Whatever is not such a request (strings, objects, ragged rows, errors) goes the general way.
"""

import re
from dataclasses import dataclass

import numpy as np
import orjson

MIN_BYTES = 256  # below, the general way is as quick

_NAME = rb'"signature_name"\s*:\s*"([\w.-]*)"'
_BEFORE = re.compile(rb"\s*\{\s*(?:" + _NAME + rb'\s*,\s*)?"(instances|inputs)"\s*:\s*(?=\[)')
_AFTER = re.compile(rb"\s*(?:,\s*" + _NAME + rb"\s*)?\}\s*")
_SPACE = b" \t\r\n"
_DIGITS = b"0123456789+-.eE"
_TO_BLANK = bytes(ord(" ") if byte in b"[]" else byte for byte in range(256))
_TO_DIGIT = bytes(ord("0") if byte in _DIGITS else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A regular nested array: `values` are int and float in row-major order."""

    shape: tuple[int, ...]
    values: list


@dataclass(frozen=True, slots=True)
class Request:
    """`{"signature_name": …, key: numbers}`; the signature's name is empty if none was given."""

    signature: str
    key: str
    numbers: Numbers


_shapes: dict[bytes, tuple[int, ...]] = {}  # of the brackets and commas that have been seen


def parse(body: bytes) -> Request | None:
    """The request in `body` if it is one regular array of numbers, else None."""
    before = _BEFORE.match(body)
    end = body.rfind(b"]") + 1
    if before is None or end <= before.end():
        return None
    after = _AFTER.fullmatch(body, end)
    if after is None or (before[1] is not None and after[1] is not None):
        return None
    numbers = parse_array(body[before.end() : end])
    if numbers is None:
        return None
    return Request((before[1] or after[1] or b"").decode(), before[2].decode(), numbers)


def parse_array(text: bytes) -> Numbers | None:
    """The numbers of a regular nested array of at least one number."""
    marked = text.translate(_TO_DIGIT, _SPACE)
    if _lacks_number(marked):
        return None
    shape = _shape(marked.translate(None, b"0"))
    if shape is None:
        return None
    try:
        # Brackets become blanks: two numbers with only a bracket between them are then an error, as they should be.
        values = orjson.loads(b"[" + text.translate(_TO_BLANK) + b"]")
    except orjson.JSONDecodeError:
        return None
    return Numbers(shape, values) if values else None


def _lacks_number(marked: bytes) -> bool:
    """Whether there is "[," or "[]" or ",," or ",]": a place for a number without one."""
    codes = np.frombuffer(marked, np.uint8)
    before, after = codes[:-1], codes[1:]
    return bool((((before == 0x5B) | (before == 0x2C)) & ((after == 0x5D) | (after == 0x2C))).any())


def _shape(brackets: bytes) -> tuple[int, ...] | None:
    """The shape of a regular array, by its brackets and commas; None if they are those of none."""
    found = _shapes.get(brackets)
    if found is None:
        found = _claimed(brackets)
        if found is None or brackets != _structure(found):
            return None
        if len(_shapes) >= 256:
            _shapes.clear()
        if len(brackets) < 1 << 17:  # 32 MiB in all
            _shapes[brackets] = found
    return found


def _claimed(brackets: bytes) -> tuple[int, ...] | None:
    """The shape that the first element of each level claims."""
    depth = len(brackets) - len(brackets.lstrip(b"["))
    if not 0 < depth <= 16:
        return None
    sizes, closing, count = [], depth, 1
    for level in range(1, depth + 1):
        # The first list of that level ends at the first run of `level` closing brackets.
        end = brackets.find(b"]" * level, closing)
        if end < 0:
            return None
        commas = brackets.count(b",", depth, end) + 1
        if commas % count:
            return None
        sizes.append(commas // count)
        count = commas
        closing = end
    return tuple(reversed(sizes))


def _structure(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of an array of this shape."""
    found = b""
    for size in reversed(shape):
        found = b"[" + b",".join([found] * size) + b"]"
    return found
