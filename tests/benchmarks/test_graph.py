"""What an export's guards cost, and what oneDNN gains: the same models side by side, in the graph alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.asking import Asked, microseconds

SHAPES = {"linear": [1], "dense": [64], "cnn": [28, 28, 1]}
CELLS = [(model, batch) for model in SHAPES for batch in (1, 32)]


def network(model: str) -> Any:
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    inner = {
        "linear": [],
        "dense": [layers.Dense(128, activation="relu") for _ in range(2)],
        "cnn": [
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()),
        ],
    }
    end = layers.Dense(1) if model == "linear" else layers.Dense(10, activation="softmax")
    return keras.Sequential([keras.Input(SHAPES[model]), *inner[model], end])


def write(model: str, folder: Path) -> Path:
    import tensorflow as tf

    from scripts.training import saved_model

    made = network(model)

    @tf.function(input_signature=[tf.TensorSpec([None, *SHAPES[model]], tf.float32, name="x")])
    def predict(x):
        return {"y": made(x)}

    file: Any = SimpleNamespace(NAME=model, serving=lambda network: predict)
    saved_model.save(file, saved_model.original(file, made), folder)
    return folder


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {model: write(model, tmp_path_factory.mktemp("guarded") / model) for model in SHAPES}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from scripts.training import guards

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "checked", lambda name, tensor, spec: tensor)
        patch.setattr(guards, "fence", lambda nodes, suffix: False)
        return {model: write(model, tmp_path_factory.mktemp("plain") / model) for model in SHAPES}


def test_the_guards_cost_next_to_nothing(guarded: dict[str, Path], plain: dict[str, Path]) -> None:
    """A request has the server's 100 µs and more around the graph, which is all that is measured here."""
    print("\nmodel, batch | without guards, µs | with, µs | ratio")
    for model, batch in CELLS:
        with Asked(guarded[model], batch) as with_guards, Asked(plain[model], batch) as without:
            assert (with_guards.answer == without.answer).all()
            ours, theirs = microseconds(with_guards, without)
        print(f"{model}, {batch} | {theirs:.1f} | {ours:.1f} | {ours / theirs:.3f}")
        assert ours <= 1.15 * theirs


def test_onednn_makes_a_cnn_faster_and_answers_the_same(guarded: dict[str, Path]) -> None:
    """Why serving/Dockerfile leaves TF_ENABLE_ONEDNN_OPTS as TensorFlow has it: on."""
    print("\nmodel, batch | oneDNN off, µs | on, µs | times as fast | largest difference of an answer")
    gains = {}
    for model, batch in CELLS:
        asked = [Asked(guarded[model], batch, TF_ENABLE_ONEDNN_OPTS=choice) for choice in "01"]
        with asked[0] as plain_kernels, asked[1] as onednn:
            off, on = microseconds(plain_kernels, onednn)
            difference = np.abs(plain_kernels.answer - onednn.answer).max()
        gains[model, batch] = off / on
        print(f"{model}, {batch} | {off:.1f} | {on:.1f} | {off / on:.2f} | {difference:.1e}")
        assert difference < 1e-5
    assert gains["cnn", 32] > 1.2
