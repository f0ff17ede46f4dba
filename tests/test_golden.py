"""What counts as the same answer: floats within a tolerance, all else exactly."""

from typing import Any

import pytest

from scripts.release import golden

SAME: dict[str, tuple[Any, Any, Any]] = {
    "float within an absolute tolerance": ([1.0], [1.05], 0.1),
    "whole number where a float is answered": ([1], [1.05], 0.1),
    "float within a share of it": ([1000.0], [1009.0], {"relative": 0.01, "absolute": 0.5}),
    "float near 0, within the absolute of both": ([0.0], [0.4], {"relative": 0.01, "absolute": 0.5}),
    "tolerance of its own output": ([1.0], [1.05], {"y": 0.1, "z": 0.0}),
    "text and bytes": (["a", {"b64": "YQ=="}], ["a", {"b64": "YQ=="}], 0.0),
}
OTHER: dict[str, tuple[Any, Any, Any, str]] = {
    "float beyond it": ([1.0], [1.2], 0.1, "y[0] is 1.2, not 1.0"),
    "float of an output without a tolerance": ([1.0], [1.05], {"z": 0.1}, "y[0] is 1.05, not 1.0"),
    "no number": ([1.0], [float("nan")], 1e9, "y[0] is nan, not 1.0"),
    "identifier that is wrong by one": ([2**53], [2**53 + 1], 0.4, "y[0] is 9007199254740993, not 9007199254740992"),
    "small whole number": ([3], [4], 1.5, "y[0] is 4, not 3"),
    "true for false": ([True], [False], 1.0, "y[0] is False, not True"),
    "1 for true": ([True], [1], 1.0, "y[0] is 1, not True"),
    "one row less": ([1.0, 1.0], [1.0], 1.0, "y is [1.0], not [1.0, 1.0]"),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same(case: str) -> None:
    expected, actual, tolerance = SAME[case]
    assert golden.difference({"y": expected}, {"y": actual}, tolerance) is None


@pytest.mark.parametrize("case", OTHER)
def test_another(case: str) -> None:
    expected, actual, tolerance, words = OTHER[case]
    assert golden.difference({"y": expected}, {"y": actual}, tolerance) == words


def test_outputs_that_are_missing_are_named() -> None:
    assert golden.difference({"y": 1, "z": 2}, {"y": 1}, 0.0) == "there is no output 'z', but 'y'"
    assert golden.difference({"y": 1}, {"y": 1, "z": 2}, 0.0) == "there is an output 'z', too, of which it says nothing"
