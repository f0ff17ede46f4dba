"""Variants: what compression saves and costs is judged, and one that costs too much is refused."""

import numpy as np
import pytest

from tests.support.fork import INSTANT, Fork

IMPORT, GATES = "Gate, Split", 'GATES = [Gate("max_absolute_error", at_most=0.001)]\n'


def with_variant(variant: str) -> str:
    text = INSTANT.replace(IMPORT, "Gate, Split, Variant").replace(GATES, f"{GATES}\nVARIANTS = [{variant}]\n")
    assert variant in text
    return text


REFUSED = {
    "variant larger than its original": (
        'Variant("int8", 0.35, "max_absolute_error", 0.01)',
        "instant is refused: int8: size ratio is 1.125, which must be <= 0.35",
    ),
    "variant that loses too much": (
        'Variant("int8", 2.0, "max_absolute_error", -1.0)',
        "instant is refused: int8: loss of max_absolute_error is 0, which must be <= -1",
    ),
    "LiteRT file larger than its original": (
        'Variant("litert", 1.0, "max_absolute_error", 0.01)',
        "instant is refused: litert: size ratio is ",
    ),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_refuses(fork: Fork, defect: str) -> None:
    variant, message = REFUSED[defect]
    fork.write_model(with_variant(variant))
    fork.given("train")
    result = fork.run("evaluate")
    assert result.code == 1, result.err
    assert result.err.splitlines()[-2].startswith(f"error: {message}")
    assert fork.run("export").code == 1


def test_one_that_saves_nothing_on_disk_is_not_exported(fork: Fork) -> None:
    """Its weights may pass a lax gate: the graph that restores them is what makes it larger."""
    fork.write_model(with_variant('Variant("int8", 2.0, "max_absolute_error", 0.01)'))
    fork.given("train")
    fork.ok("evaluate")
    result = fork.run("export")
    assert result.code == 1
    assert "error: model/instant.py: instant_int8 is " in result.err
    assert "and the original only" in result.err


UNKNOWN = {
    "technique": (
        'Variant("int4", 0.35, "max_absolute_error", 0.0)',
        "there is no variant 'int4'; there is: int8, litert",
    ),
    "metric": (
        'Variant("int8", 0.35, "accuracy", 0.0)',
        "variant 'int8' is measured by 'accuracy', which no gate is on",
    ),
    "twice": (
        'Variant("int8", 1, "max_absolute_error", 0), Variant("int8", 1, "max_absolute_error", 0)',
        "VARIANTS names a technique twice",
    ),
}


@pytest.mark.parametrize("defect", UNKNOWN)
def test_the_contract_is_checked_before_training(fork: Fork, defect: str) -> None:
    variants, message = UNKNOWN[defect]
    fork.write_model(with_variant(variants))
    assert fork.run("train").err.splitlines()[0] == f"error: model/instant.py: {message}"


def test_a_network_that_cannot_be_a_litert_file_is_refused_before_training(fork: Fork) -> None:
    text = with_variant('Variant("litert", 1.0, "max_absolute_error", 0.01)')
    fork.write_model(text.replace("keras.layers.Dense(1)", "keras.layers.Reshape([1, 1]), keras.layers.GRU(1)"))
    result = fork.run("train")
    assert result.code == 1, result.err
    assert "error: model/instant.py: the network cannot be a LiteRT file: 'tf." in result.err
    assert "; remove 'litert' from VARIANTS" in result.err
    assert "  train " not in result.err


def test_an_int8_kernel_is_near_the_original_channel_by_channel() -> None:
    """A channel a thousand times smaller than its neighbour keeps its two digits; one of zeros stays zero."""
    from scripts.training import (
        variants as compressing,
    )  # imports TensorFlow, which the other processes of a run need not

    kernel = np.random.default_rng(0).standard_normal((50, 3)).astype("float32") * np.array([1, 0.001, 0], "float32")
    whole, scale = compressing._quantise(kernel)
    assert whole.dtype == np.int8
    assert (np.abs(whole * scale - kernel).max(0) <= np.abs(kernel).max(0) / 254 + 1e-9).all()
