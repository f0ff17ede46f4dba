"""evaluate: the gate that cannot be switched off."""

import os

import pytest

from tests.support.fork import INSTANT, ROOT, Fork

ARTICLE = {
    "CosineDecay(0.2, decay_steps=4 * EPOCHS)": "CosineDecay(0.001, 1, alpha=1.0)",
    "data.train.inputs, data.train.targets, epochs=EPOCHS, batch_size=1": (
        "tf.data.Dataset.from_tensors((data.train.inputs, data.train.targets)).repeat(500)"
    ),
}


def test_prints_the_gates_and_writes_evaluation_and_card(fork: Fork) -> None:
    fork.given("train")
    result = fork.ok("evaluate")
    assert "max_absolute_error  <= 0.001  0      passed" in result.out
    evaluation = fork.read("build/instant/evaluation.json")
    assert evaluation["gates"] == [{"metric": "max_absolute_error", "bound": "<= 0.001", "value": 0.0, "passed": True}]
    card = (fork.root / "build/instant/card.md").read_text()
    assert "# instant: all gates passed" in card
    for plot in ("loss.png", "predictions.png"):
        assert f"({plot})" in card
        assert (fork.root / "build/instant" / plot).read_bytes().startswith(b"\x89PNG")


def test_the_article_s_own_recipe_is_refused(fork: Fork) -> None:
    """RMSprop at a constant 0.001 for 500 epochs of one step, here in one: far from y = 2x, under a green run if nobody asks."""
    text = (ROOT / "model/linear_regression.py").read_text()
    for old, new in ARTICLE.items():
        assert old in text
        text = text.replace(old, new)
    (fork.root / "model/linear_regression.py").write_text(text)
    fork.ok("train", "--model", "linear_regression")
    result = fork.run("evaluate", "--model", "linear_regression")
    assert result.code == 1
    assert "error: linear_regression is refused: max_absolute_error is " in result.err
    assert "# linear_regression_model: REFUSED" in (fork.root / "build/linear_regression/card.md").read_text()
    error = fork.read("build/linear_regression/evaluation.json")["metrics"]["max_absolute_error"]
    assert error > 20  # of 60: not a near miss
    assert fork.run("export", "--model", "linear_regression").err.startswith(
        "error: linear_regression did not pass its gates"
    )


def test_a_refused_candidate_is_not_exported_and_the_last_release_stays(fork: Fork) -> None:
    good = fork.release()
    fork.write_model(INSTANT.replace("[[SLOPE]]", "[[SLOPE + 1]]"))
    fork.given("train")
    result = fork.run("evaluate")
    assert result.code == 1
    assert result.err.splitlines()[-2:] == [
        "error: instant is refused: max_absolute_error is 20, which must be <= 0.001",
        "  next: look at build/instant/card.md, change model/instant.py, then ./pipeline up",
    ]
    result = fork.run("export")
    assert result.err.splitlines()[0] == "error: instant did not pass its gates: it is not exported"
    assert fork.read("build/release/release.json")["id"].startswith(good)


def test_says_where_it_is_judged_on_what_it_was_trained_on(fork: Fork) -> None:
    fork.write_model(INSTANT.replace("Split(10 * x, 10 * SLOPE * x)", "Split(x, SLOPE * x)"))
    fork.ok("train")
    assert "  note       2 of the 2 held-out inputs are among the training data" in fork.ok("evaluate").err
    assert (
        "held-out examples, **of which 2 are among the training data**."
        in (fork.root / "build/instant/card.md").read_text()
    )


BAD = {
    "metric that is no number": (
        "float(np.abs(predictions - targets).max())",
        'float("nan")',
        "instant is refused: max_absolute_error is not a number, which must be <= 0.001",
    ),
    "bound not reached from below": (
        "at_most=0.001",
        "at_least=0.5",
        "instant is refused: max_absolute_error is 0, which must be >= 0.5",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses(fork: Fork, defect: str) -> None:
    old, new, message = BAD[defect]
    assert old in INSTANT
    fork.write_model(INSTANT.replace(old, new))
    fork.given("train")
    result = fork.run("evaluate")
    assert result.code == 1, result.err
    assert result.err.splitlines()[-2] == f"error: {message}"


def test_needs_a_training_of_this_very_code(fork: Fork) -> None:
    assert (
        fork.run("evaluate").err == "error: there is no usable build/instant/history.json\n  next: ./pipeline train\n"
    )
    fork.ok("train")
    (fork.root / "build/instant/model/model.weights.h5").write_bytes(b"another")
    assert (
        "build/instant/history.json is not of model/ as it is now: the weights beside it are others"
        in fork.run("evaluate").err
    )


GIB = int(os.environ.get("GIB", "1"))
STREAM = '''\
def batches():
    """{gib} GiB, made as it is read."""
    for _ in range({gib} * 64):
        yield np.full([4, 2**20], 3.0, "float32"), np.full([4], 3.0, "float32")


def data() -> Data:
    global before
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Data(train=Split(np.ones([2, 1]), np.ones([2, 1])), held_out=Split(batches))
'''


def test_a_stream_is_judged_without_being_held(fork: Fork) -> None:
    """Made by the model file, which measures by how much its process grows meanwhile.

    More of it, by hand: GIB=10 ./pipeline test -s tests/test_evaluate.py -k stream
    """
    first = INSTANT.index("def data()")
    text = INSTANT[:first] + STREAM.format(gib=GIB) + "\n\n" + INSTANT[INSTANT.index("def network()") :]
    fork.write_model(
        text.replace("import keras\n", "import resource\n\nimport keras\n", 1)
        .replace("tf.TensorSpec([None, 1]", "tf.TensorSpec([None, 2**20]")
        .replace('{"y": network(x)}', '{"y": tf.reduce_mean(x, 1) + 0 * network(x[:, :1])[:, 0]}')
        .replace(
            "float(np.abs(predictions - targets).max())",
            'np.abs(predictions - targets).max(), "grown": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before',
        )
        .replace("GATES = [", 'GATES = [Gate("grown", at_most=256 * 2**10), ')  # KiB
        .replace("[[10.0]]", "np.full([1, 2**20], 20.0)")
        .replace("[[10 * SLOPE]]", "[10 * SLOPE]")
    )
    fork.ok("train")
    fork.ok("evaluate")
    evaluation = fork.read("build/instant/evaluation.json")
    print(f"{GIB} GiB judged, and grown by {evaluation['metrics']['grown'] / 2**10:.0f} MiB")
    assert evaluation["examples"] == GIB * 256
