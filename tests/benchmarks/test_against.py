"""What a comparison with the release that serves costs, beside the evaluation of a candidate alone."""

import statistics
import time
from pathlib import Path

import pytest

from tests.support.fork import Fork

ROUNDS = 3


@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", ["digits", "spoken_digits"])
def test_against_costs_one_evaluation_of_each_model_and_a_fifth(trained: Fork, tmp_path: Path, model: str) -> None:
    """Both in a process that has TensorFlow already; what serves is the same model, so that its evaluation takes as long."""
    fork = trained.copy(tmp_path / "fork")
    fork.ok("deploy", "local")
    try:
        rounds = [
            (_seconds(fork, "--model", model), _seconds(fork, "--model", model, "--against", "local"))
            for _ in range(ROUNDS + 1)
        ]
    finally:
        fork.clean_up()
    alone, both = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
    print(f"\nevaluate {model}: {alone:.2f} s; --against: {both:.2f} s; of two evaluations: {both / (2 * alone):.2f}")
    assert both <= 1.2 * 2 * alone


def _seconds(fork: Fork, *arguments: str) -> float:
    begin = time.perf_counter()
    fork.ok("evaluate", *arguments)
    return time.perf_counter() - begin
