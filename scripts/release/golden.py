"""Golden examples: values as in TensorFlow Serving's REST API (nested lists; {"b64": …} for bytes), compared within a tolerance."""

import math
from typing import Any


def difference(expected: Any, actual: Any, tolerance: float, path: str = "") -> str | None:
    """Where and how `actual` is not `expected`, in words; None if it is. Numbers may be off by `tolerance` (absolute)."""
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        parts = ((f"{path}.{key}" if path else key, expected[key], actual[key]) for key in expected)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        parts = ((f"{path}[{i}]", e, a) for i, (e, a) in enumerate(zip(expected, actual, strict=True)))
    else:
        return None if _equal(expected, actual, tolerance) else f"{path} is {_short(actual)}, not {_short(expected)}"
    return next((found for name, e, a in parts if (found := difference(e, a, tolerance, name))), None)


def _equal(expected: Any, actual: Any, tolerance: float) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (expected, actual))
    return (
        math.isclose(expected, actual, rel_tol=0, abs_tol=tolerance)
        if numbers
        else type(expected) is type(actual) and expected == actual
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
