"""The form of a JSON value, as TensorFlow Serving's REST API writes it, against the type and shape of a signature."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

LONG = 300  # characters of an error: TensorFlow's may hold whole tensors


def tensor(name: str, value: Any, dtype: str, shape: list[int | None] | None) -> Any:
    """The input `name` as a tensor. Raises ValueError, in a line that names it, for another form than `dtype` and `shape`."""
    found = of(value)
    if found is None:
        raise ValueError(f"input {name!r} has rows of different lengths, and a request is a whole array: pad them")
    if not tf.TensorShape(shape).is_compatible_with(found):
        raise ValueError(f"input {name!r} has the shape {found}, and the signature takes {_told(shape)}")
    if (whole := _constant(value, dtype)) is None:
        odd = next((leaf for leaf in leaves(value) if _constant(leaf, dtype) is None), "several types")
        raise ValueError(f"input {name!r} holds {_shown(odd)}, and the signature takes {dtype}")
    if whole.dtype.is_floating and not np.isfinite(whole).all():
        raise ValueError(
            f"input {name!r} holds NaN or infinity, which JSON has not: send what is missing as a number of your own"
        )
    return whole


def misfit(name: str, expected: Any, answered: Any, spec: tf.TensorSpec) -> str | None:
    """How an example's output differs in form from an untrained answer, in words. A training may change only lengths that the
    signature leaves open, other than the first."""
    wanted, got = of(expected), of(answered) or []
    if wanted is None:
        return f"output {name!r} has rows of different lengths, and an answer is a whole array"
    if wanted[:1] != got[:1] or not spec.shape.is_compatible_with(wanted):
        return f"output {name!r} has the shape {wanted}, and the signature answers {got}"
    for leaf in leaves(expected):
        if not fits(leaf, name, spec.dtype):
            return f"output {name!r} holds {_shown(leaf)}, and the signature answers {_called(name, spec.dtype)}"
    return None


def of(value: Any) -> list[int] | None:
    """The shape of nested lists; None where rows differ in length."""
    if not isinstance(value, list):
        return []
    inner = [of(item) for item in value]
    if any(shape is None or shape != inner[0] for shape in inner):
        return None
    return [len(value), *(inner[0] or [] if inner else [])]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def fits(leaf: Any, name: str, dtype: tf.DType) -> bool:
    """Whether the output `name` of `dtype` can be this value; an integer may stand for a float."""
    if dtype == tf.string:
        return isinstance(leaf, dict if name.endswith("_bytes") else str)
    if dtype == tf.bool or isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return dtype == tf.bool and isinstance(leaf, bool)
    if not math.isfinite(leaf):
        return False  # JSON has no such number, and NaN equals nothing
    whole = isinstance(leaf, int) or leaf.is_integer()
    return not dtype.is_integer or (whole and dtype.min <= leaf <= dtype.max)


def short(error: Exception) -> str:
    """An error's words in one line."""
    words = " ".join(str(error).split())
    return words if len(words) <= LONG else f"{words[: LONG - 3]}..."


def _constant(value: Any, dtype: str) -> Any:
    """The tensor of a JSON value; None if that has another type."""
    try:
        return tf.constant(_decode(value), dtype)
    except (TypeError, ValueError, OverflowError, KeyError):
        return None


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [_decode(item) for item in value] if isinstance(value, list) else value


def _shown(leaf: Any) -> str:
    text = repr(leaf)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _called(name: str, dtype: tf.DType) -> str:
    if dtype != tf.string:
        return dtype.name
    return 'bytes: {"b64": "..."}' if name.endswith("_bytes") else "text"


def _told(shape: list[int | None] | None) -> str:
    return "any" if shape is None else f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
