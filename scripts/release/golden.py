"""Golden examples: values as in TensorFlow Serving's REST API (nested lists; {"b64": …} for bytes), compared within a tolerance."""

from collections.abc import Mapping
from typing import Any

# How far a float may be off: a number, absolute; or {"absolute": …, "relative": …}, whichever is more. Other types must be equal.
Allowed = float | Mapping[str, float]
Tolerance = Allowed | Mapping[str, Allowed]  # of all outputs, or by output


def difference(expected: dict[str, Any], actual: dict[str, Any], tolerance: Tolerance) -> str | None:
    """Where and how the outputs `actual` differ from `expected`, in words; None if they agree. `tolerance` may be a mapping of outputs."""
    if lacking := expected.keys() - actual.keys():
        return f"there is no output {sorted(lacking)[0]!r}, but {', '.join(map(repr, sorted(actual)))}"
    if surplus := actual.keys() - expected.keys():
        return f"there is an output {sorted(surplus)[0]!r}, too, of which it says nothing"
    found = (_difference(expected[name], actual[name], *allowed(tolerance, name), name) for name in expected)
    return next(filter(None, found), None)


def dtypes(model: dict[str, Any], example: dict[str, Any]) -> dict[str, str]:
    """The types of an example's inputs by name; both are as release.json has them."""
    named = example.get("signature")
    signature = model["signatures"][named] if named else model["signature"]
    return {name: tensor["dtype"] for name, tensor in signature["inputs"].items()}


def allowed(tolerance: Any, output: str) -> tuple[float, float]:
    """How far a float of `output` may be off by a Tolerance: absolute and relative."""
    if not isinstance(tolerance, Mapping):
        return tolerance, 0.0
    if tolerance.keys() <= {"absolute", "relative"}:
        return tolerance.get("absolute", 0.0), tolerance.get("relative", 0.0)
    return allowed(tolerance.get(output, 0.0), output)


def _difference(expected: Any, actual: Any, absolute: float, relative: float, path: str) -> str | None:
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        found = (_difference(e, a, absolute, relative, f"{path}[{i}]") for i, (e, a) in pairs)
        return next(filter(None, found), None)
    if _equal(expected, actual, absolute, relative):
        return None
    return f"{path} is {_short(actual)}, not {_short(expected)}"


def _equal(expected: Any, actual: Any, absolute: float, relative: float) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (expected, actual))
    if numbers and isinstance(actual, float):
        return abs(actual - expected) <= max(absolute, relative * abs(expected))
    return expected == actual if numbers else type(expected) is type(actual) and expected == actual


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
