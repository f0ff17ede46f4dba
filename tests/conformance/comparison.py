"""How an answer is compared with a recorded one.

Two things may differ, and are made equal first: the order of map keys, which is random in TensorFlow Serving, and
names inside TensorFlow's graphs (`__inference___call___2916`, `keras_tensor_8`), which are numbered anew each time. Numbers are
compared as they are written, not by value.
"""

import json
import re
from typing import Any

_GRAPH_NAMES = (
    (re.compile(r"__inference_([\w<>]+?)_\d+"), r"__inference_\1_N"),
    (re.compile(r"keras_tensor_\d+"), "keras_tensor_N"),
    (re.compile(r"(?:\{\{function_node [^}]*\}\} ?)+"), ""),
)
_PORT = re.compile(r"localhost:\d+")


def text(value: str) -> str:
    """`value` with graph names and ports made equal."""
    for pattern, replacement in _GRAPH_NAMES:
        value = pattern.sub(replacement, value)
    return _PORT.sub("localhost:PORT", value)


def document(body: bytes) -> Any:
    """The JSON in `body` with numbers as written; the body itself if it is no JSON."""
    decoded = text(body.decode("utf-8", "surrogateescape"))
    try:
        return json.loads(decoded, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError:
        return decoded


def lines(body: bytes) -> list[str]:
    """The lines of `body` in an order that does not depend on that of map keys."""
    return sorted(line.strip().rstrip(",") for line in text(body.decode("utf-8", "surrogateescape")).split("\n"))
