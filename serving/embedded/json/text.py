"""JSON as TensorFlow Serving reads it: RapidJSON's grammar, its error texts and offsets, and its pretty printing.

`parse` tries orjson first, which is fast and accepts a subset of what RapidJSON does. Only what it refuses (NaN and
Infinity, bytes after the document, a byte order mark, invalid UTF-8, and everything that is wrong) goes through the
parser below, which also finds the text of the error.

Numbers come as int where RapidJSON has an integer (64 bits, signed or not) and as float elsewhere. Strings that are
no UTF-8 carry their bytes as lone surrogates (`surrogateescape`); of a repeated key the first value counts.
"""

import math
import re
from typing import Any

import orjson

from ..errors import invalid

MAX_DEPTH = 4096
_ORJSON_DEPTH = 1024  # beyond it orjson refuses by itself

_AFTER_SPACE = re.compile(rb"[^ \n\r\t]")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_LITERALS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}
_ESCAPES = {34: '"', 92: "\\", 47: "/", 98: "\b", 102: "\f", 110: "\n", 114: "\r", 116: "\t"}
_BOM = b"\xef\xbb\xbf"

# A key that decides what a request means, twice in one body: RapidJSON finds the first, orjson keeps the last.
_KEYS = (b'"instances"', b'"inputs"', b'"signature_name"', b'"examples"', b'"context"')


class _ParseError(Exception):
    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.text, self.offset = text, offset


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in `body`. Raises INVALID_ARGUMENT in RapidJSON's words if it is not one."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
        exact = any(body.count(key) > 1 for key in _KEYS) or (
            max_depth < _ORJSON_DEPTH and _deeper(document, max_depth)
        )
    except orjson.JSONDecodeError:
        exact = True
    if exact:
        try:
            document = _Parser(body, max_depth).document()
        except _ParseError as error:
            raise invalid(f"JSON Parse error: {error.text} at offset: {error.offset}") from None
    if type(document) is not dict:
        raise invalid(f"JSON Value: {text(document)} Is not object")
    return document


def _deeper(document: Any, limit: int) -> bool:
    """Whether `document` nests deeper than `limit` levels."""
    level = [document]
    for _ in range(limit + 1):
        level = [
            item
            for each in level
            if type(each) in (dict, list)
            for item in (each.values() if type(each) is dict else each)
        ]
        if not level:
            return False
    return True


class _Parser:
    """RapidJSON's recursive descent with the recursion taken out, so that no nesting can exhaust the stack."""

    def __init__(self, data: bytes, max_depth: int) -> None:
        # The zero byte stands for the end, as in RapidJSON's streams.
        self._data, self._at, self._max_depth = data + b"\0", 0, max_depth

    def document(self) -> Any:
        if self._data.startswith(_BOM):
            self._at = len(_BOM)
        self._skip_space()
        if not self._data[self._at]:
            raise _ParseError("The document is empty.", self._at)
        stack: list[tuple[Any, str | None]] = []  # the open containers, each with the key its next value belongs to
        while True:
            value, opened = self._value(stack)
            if opened:
                continue
            while True:  # put the finished value into its container, and close what ends here
                if not stack:
                    return value
                container, key = stack[-1]
                if key is None:
                    container.append(value)
                else:
                    container.setdefault(key, value)
                if not self._closes(stack):
                    break
                value = stack.pop()[0]

    def _value(self, stack: list) -> tuple[Any, bool]:
        """The scalar or empty container at this place, or None and True when a container has been opened."""
        first = self._data[self._at]
        if first == 0x7B or first == 0x5B:
            return self._open(stack, first)
        if first == 0x22:
            return self._string(), False
        if first in _LITERALS:
            word, value = _LITERALS[first]
            self._consume(word)
            return value, False
        return self._number(), False

    def _open(self, stack: list, first: int) -> tuple[Any, bool]:
        if len(stack) >= self._max_depth:
            raise _ParseError(f"Nesting deeper than {self._max_depth} levels.", self._at)
        self._at += 1
        self._skip_space()
        closing, container = (0x7D, {}) if first == 0x7B else (0x5D, [])
        if self._data[self._at] == closing:
            self._at += 1
            return container, False
        stack.append((container, self._key() if first == 0x7B else None))
        return None, True

    def _closes(self, stack: list) -> bool:
        """After a value: True at the container's end, False after a comma (and the next key)."""
        container, key = stack[-1]
        self._skip_space()
        following = self._data[self._at]
        if following == 0x2C:
            self._at += 1
            self._skip_space()
            if key is not None:
                stack[-1] = (container, self._key())
            return False
        if following == (0x5D if key is None else 0x7D):
            self._at += 1
            return True
        wanted = "a comma or ']' after an array element" if key is None else "a comma or '}' after an object member"
        raise _ParseError(f"Missing {wanted}.", self._at)

    def _key(self) -> str:
        if self._data[self._at] != 0x22:
            raise _ParseError("Missing a name for object member.", self._at)
        key = self._string()
        self._skip_space()
        if self._data[self._at] != 0x3A:
            raise _ParseError("Missing a colon after a name of object member.", self._at)
        self._at += 1
        self._skip_space()
        return key

    def _skip_space(self) -> None:
        found = _AFTER_SPACE.search(self._data, self._at)  # the zero byte at the end, if nothing else
        self._at = found.start() if found else self._at

    def _consume(self, word: bytes) -> None:
        for byte in word:
            if self._data[self._at] != byte:
                raise _ParseError("Invalid value.", self._at)
            self._at += 1

    def _string(self) -> str:
        self._at += 1
        parts = []
        while True:
            end = _SPECIAL.search(self._data, self._at)  # the zero byte at the end, if nothing else
            end_at = end.start() if end else len(self._data)
            parts.append(self._data[self._at : end_at].decode("utf-8", "surrogateescape"))
            self._at = end_at
            byte = self._data[self._at]
            if byte == 0x22:
                self._at += 1
                return "".join(parts)
            if byte == 0x5C:
                parts.append(self._escape())
            elif byte == 0:
                raise _ParseError("Missing a closing quotation mark in string.", self._at)
            else:
                raise _ParseError("Invalid escape character in string.", self._at)  # a control character

    def _escape(self) -> str:
        start = self._at
        letter = self._data[start + 1]
        if letter in _ESCAPES:
            self._at += 2
            return _ESCAPES[letter]
        if letter != 0x75:
            raise _ParseError("Invalid escape character in string.", start)
        unit = self._hex(start + 2, start)
        self._at = start + 6
        if not 0xD800 <= unit < 0xE000:
            return chr(unit)
        if unit >= 0xDC00 or self._data[self._at : self._at + 2] != b"\\u":
            raise _ParseError("The surrogate pair in string is invalid.", start)
        low = self._hex(self._at + 2, start)
        if not 0xDC00 <= low < 0xE000:
            raise _ParseError("The surrogate pair in string is invalid.", start)
        self._at += 6
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))

    def _hex(self, at: int, start: int) -> int:
        digits = self._data[at : at + 4]
        if len(digits) < 4 or not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise _ParseError("Incorrect hex digit after \\u escape in string.", start)
        return int(digits, 16)

    def _number(self) -> int | float:
        start, data = self._at, self._data
        match = _NUMBER.match(data, start)
        if match is None:
            return self._special(start)
        self._at = match.end()
        fraction, exponent = match.groups()
        following = data[self._at]
        if fraction is None and exponent is None and following == 0x2E:
            raise _ParseError("Miss fraction part in number.", self._at + 1)
        if exponent is None and following in b"eE":
            skip = 2 if data[self._at + 1] in b"+-" else 1
            raise _ParseError("Miss exponent in number.", self._at + skip)
        token = match.group()
        if fraction is None and exponent is None and len(token) < 21:
            integer = int(token)
            if -(1 << 63) <= integer < 1 << 64:
                return integer
        value = float(token)
        if math.isinf(value):
            raise _ParseError("Number too big to be stored in double.", start)
        return value

    def _special(self, start: int) -> float:
        """NaN, Inf and Infinity, with a sign or without."""
        negative = self._data[start] == 0x2D
        self._at = start + negative
        if self._data[self._at] == 0x4E:
            self._consume(b"NaN")
            return math.nan
        if self._data[self._at] != 0x49:
            raise _ParseError("Invalid value.", self._at)
        self._consume(b"Inf")
        if self._data[self._at] == 0x69:
            self._consume(b"inity")
        return -math.inf if negative else math.inf


# --- writing, as RapidJSON's PrettyWriter does with arrays on one line ---

_UNSAFE = re.compile(r'["\\\x00-\x1f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(string: str) -> str:
    """`string` in quotation marks, with what must be escaped escaped and all else left as it is."""
    if _UNSAFE.search(string):
        string = _UNSAFE.sub(lambda found: _SHORT.get(found.group()) or f"\\u{ord(found.group()):04X}", string)
    return f'"{string}"'


def utf8(string: str) -> str:
    """`string` with replacement characters for bytes that are no UTF-8, which protocol buffers do not take."""
    return string.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def type_name(value: Any) -> str:
    """RapidJSON's name for the type of `value`."""
    if value is None or value is True or value is False:
        return {None: "Null", True: "True", False: "False"}[value]
    return {str: "String", dict: "Object", list: "Array"}.get(type(value), "Number")


def text(value: Any) -> str:
    """`value` as it appears in an error text."""
    parts: list[str] = []
    _write(value, 0, parts)
    return "".join(parts)


def _write(value: Any, level: int, parts: list[str]) -> None:
    if level > 500:  # deeper than any text is read; the limit keeps Python's stack out of danger
        parts.append("...")
    elif type(value) is dict:
        _write_object(value, level, parts)
    elif type(value) is list:
        parts.append("[")
        for index, item in enumerate(value):
            parts.append(", " if index else "")
            _write(item, level + 1, parts)
        parts.append("]")
    else:
        parts.append(_scalar(value))


def _write_object(value: dict[str, Any], level: int, parts: list[str]) -> None:
    parts.append("{")
    for index, (key, item) in enumerate(value.items()):
        parts.append(",\n" if index else "\n")
        parts.append("    " * (level + 1) + quote(key) + ": ")
        _write(item, level + 1, parts)
    parts.append("\n" + "    " * level + "}" if value else "}")


def _scalar(value: Any) -> str:
    if type(value) is str:
        return quote(value)
    if type(value) is float:
        return number(value)
    return {None: "null", True: "true", False: "false"}[value] if type(value) in (bool, type(None)) else str(value)


def number(value: float) -> str:
    """A double as RapidJSON writes it: the shortest digits that read back, 21 of them before an exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    digits, _, power = repr(abs(value)).partition("e")
    whole, _, part = digits.partition(".")
    significant = (whole + part).strip("0")
    if not significant:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    # Where the decimal point stands, counted from the first significant digit.
    point = int(power or 0) + (len(whole) if whole != "0" else len(part.lstrip("0")) - len(part))
    return ("-" if value < 0 else "") + _place_point(significant, point)


def _place_point(digits: str, point: int) -> str:
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits)) + ".0"
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    exponent = point - 1
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{exponent}"
