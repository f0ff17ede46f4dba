"""guards: an export refuses an input of another shape in its graph, by its name, and none ends the process with oneDNN's kernels."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving.embedded import fence, onednn
from tests.serving.process import ModelServer
from tests.support.fork import ROOT, in_process
from tests.support.shapes import asked, refused_by_name

MODELS = sorted(path.stem for path in (ROOT / "model").glob("[a-z]*.py"))


def kinds() -> dict[str, tuple[list[int | None] | None, Callable]]:
    """What would end a process if nothing were checked: the shape of the signature's input, and what it goes into."""
    import keras
    import tensorflow as tf

    layers = keras.layers
    kernel = tf.Variable(tf.ones([3, 3, 1, 2]))
    padded = [layers.ZeroPadding2D(1), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(), layers.Dense(1)]

    def convolve(x, padding="SAME"):
        return tf.nn.conv2d(x, kernel, 1, padding)

    return {
        "pad, which oneDNN absorbs": ([None, 8, 8, 1], keras.Sequential([keras.Input([8, 8, 1]), *padded])),
        "in one dimension": ([None, 8, 1], keras.Sequential([keras.Input([8, 1]), layers.Conv1D(2, 3)])),
        "in three": ([None, 4, 4, 4, 1], keras.Sequential([keras.Input([4, 4, 4, 1]), layers.Conv3D(2, 3)])),
        "each channel": ([None, 8, 8, 1], keras.Sequential([keras.Input([8, 8, 1]), layers.DepthwiseConv2D(3)])),
        "pooled": ([None, 4, 4, 4, 1], keras.Sequential([keras.Input([4, 4, 4, 1]), layers.MaxPooling3D(2)])),
        "pooled by more than there is": ([None, None, None, 1], layers.MaxPooling2D(3, 2)),
        "in three, by more than there is": ([None, None, None, None, 1], layers.MaxPooling3D(3, 1)),
        "open rank": (None, convolve),
        "open rank, padded": (None, lambda x: convolve(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), "VALID")),
        "open rank, in a loop": (
            None,
            lambda x: tf.map_fn(lambda one: convolve(one[None])[0], x, fn_output_signature=tf.float32),
        ),
        "said to be of a rank that it is not": ([None], lambda x: convolve(_said_to_be_a_picture(x))),
    }


def _said_to_be_a_picture(x):
    import tensorflow as tf

    picture = tf.reshape(
        x, tf.concat([tf.repeat(1, tf.size(x) - 1), [-1]], 0)
    )  # of as many dimensions as x has elements
    picture.set_shape([None, None, None, 1])
    return picture


def write_kinds(folder: str) -> None:
    import tensorflow as tf

    from scripts.training import saved_model

    def signature(shape: Any, inner: Callable) -> Any:
        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="x")])
        def predict(x):
            return {"y": inner(x)}

        return predict

    for name, (shape, inner) in kinds().items():
        file: Any = SimpleNamespace(NAME="kind", serving=lambda network, args=(shape, inner): signature(*args))
        saved_model.save(file, saved_model.original(file, tf.Module()), Path(folder) / name / "1")


def write_models(folder: str) -> None:
    """The models of model/, untrained."""
    import model
    from scripts.training import saved_model

    for module in MODELS:
        file = model.load(module)
        saved_model.save(file, saved_model.original(file, file.network()), Path(folder) / module / "1")


def written(write: Callable, folder: Path) -> list[Path]:
    assert in_process(write, str(folder)) == 0
    return sorted(folder.glob("*/1"))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written(write_kinds, tmp_path_factory.mktemp("kinds"))


def test_what_would_end_a_process_is_refused(exports: list[Path]) -> None:
    assert len(exports) == len(kinds())
    assert len(refused_by_name(exports)) >= 5 * len(exports)
    for answer in asked(exports):
        assert answer.error == "" or answer.error.startswith("INVALID_ARGUMENT"), answer


def test_each_model_here_refuses_what_its_signature_does_not_take(tmp_path: Path) -> None:
    found = refused_by_name(written(write_models, tmp_path))
    assert {Path(answer.model).parent.name for answer in found} == set(MODELS)


def test_a_free_dimension_stays_free(exports: list[Path]) -> None:
    (picture,) = [folder for folder in exports if folder.parent.name == "open rank"]
    assert [answer.shape for answer in asked([picture]) if not answer.error] == [
        [1, 8, 8, 1],
        [0, 8, 8, 1],
        [1, 1, 1, 1],
    ]


def test_the_answer_is_400_and_names_the_input(exports: list[Path], tmp_path: Path) -> None:
    """The embedded server checks the rank of a model that convolves itself; of a fixed dimension the graph is the judge."""
    (folder,) = [folder for folder in exports if folder.parent.name.startswith("pad,")]
    flags = f"--model_base_path={folder.parent}", "--model_name=m"
    with ModelServer(*flags, log=tmp_path / "log", env={"TF_ENABLE_ONEDNN_OPTS": "1"}) as server:
        status, document = server.rest("POST", "/v1/models/m:predict", {"instances": [[[[1.0]]]]})
    assert status == 400
    assert re.search(
        r"\[1,1,1,1\] is not compatible with expected shape \[\?,8,8,1\].*input_x", document["error"], re.S
    )


def test_onednn_is_on_where_a_fence_is_needed() -> None:
    assert set(fence.RANKS) > onednn.CONVOLUTIONS
