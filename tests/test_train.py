"""train: deterministic, and a defect in a model file is named."""

import subprocess
from pathlib import Path

import pytest

from tests.support.fork import INSTANT, Fork


def test_twice_in_two_clones_gives_the_same_bytes(tmp_path: Path) -> None:
    """The real default model, by the real command, in processes that share nothing."""
    one, two = (_make_release(Fork(tmp_path / name)) for name in ("one", "two"))
    assert any(path.endswith("variables.data-00000-of-00001") for path in one["models"][0]["files"])
    assert one == two


def _make_release(fork: Fork) -> dict:
    """release.json, which holds the hash of every file and every golden answer; the commits differ in the ports."""
    for verb in ("train", "evaluate", "export"):
        subprocess.run(["./pipeline", verb], cwd=fork.root, check=True, capture_output=True)
    return fork.read("build/release/release.json") | {"commit": None}


def test_writes_the_model_and_its_history(fork: Fork) -> None:
    result = fork.ok("train")
    history = fork.read("build/instant/history.json")
    assert len(history["curves"]["loss"]) == 1
    assert (fork.root / "build/instant/model/model.weights.h5").exists()
    assert "train      1/1  loss " in result.err


BAD = {
    "syntax error": ("NAME = ", "NAME == =", "model/instant.py, line 9: invalid syntax"),
    "import of nothing": (
        "import keras\n",
        "import kerass\n",
        "model/instant.py cannot be imported: ModuleNotFoundError: No module named 'kerass'",
    ),
    "no gate": (INSTANT[INSTANT.index("GATES") :], "", "model/instant.py defines no GATES and no EXAMPLES"),
    "empty gates": (
        'GATES = [Gate("max_absolute_error", at_most=0.001)]',
        "GATES = []",
        "model/instant.py: GATES is empty: a model without a gate is never released",
    ),
    "gate without a bound": (
        ", at_most=0.001)",
        ")",
        "model/instant.py: the gate on 'max_absolute_error' needs one bound: at_most or at_least",
    ),
    "no examples": (
        "EXAMPLES = [",
        "EXAMPLES = [] and [",
        "model/instant.py: EXAMPLES is empty: a deployment could not be verified",
    ),
    "name that is no part of a URL": (
        '"instant"',
        '"in stant"',
        "model/instant.py: NAME 'in stant' may hold only letters, digits, '_', '.' and '-': it is part of a URL",
    ),
    "loss that is no number": (
        "SLOPE * x)",
        "np.nan * x)",
        "model/instant.py: the loss is nan after epoch 1: lower the step, or check the data",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses(fork: Fork, defect: str) -> None:
    old, new, message = BAD[defect]
    assert old in INSTANT
    fork.write_model(INSTANT.replace(old, new, 1))
    result = fork.run("train")
    assert result.code == 1, result.err
    assert result.err.splitlines()[-2] == f"error: {message}"
    assert result.err.splitlines()[-1].startswith("  next: ")
    assert not (fork.root / "build/instant/history.json").exists()


def test_an_unknown_model_is_refused_with_the_nearest(fork: Fork) -> None:
    result = fork.run("train", "--model", "instnt")
    assert (result.code, result.err.splitlines()[0]) == (
        1,
        "error: no model 'instnt' in model/; did you mean 'instant'?",
    )


def test_only_what_it_imports_makes_a_training_stale(fork: Fork) -> None:
    """Not another model's file, a comment, a docstring, or code that nobody imports; a shared file that it imports."""
    fork.write_model(
        INSTANT.replace("import keras", "import keras\n\nfrom model import _layers", 1) + "\n_layers.WIDTH\n"
    )
    layers = fork.root / "model/_layers.py"
    layers.write_text("WIDTH = 1\n")
    fork.ok("train")
    (fork.root / "model/linear_regression.py").write_text("# changed")
    (fork.root / "model/_unused.py").write_text("WIDTH = 2\n")
    layers.write_text('"""How wide."""\n\nWIDTH = 1  # of a layer\n')
    fork.ok("evaluate")
    layers.write_text("WIDTH = 2\n")
    result = fork.run("evaluate")
    assert "build/instant/history.json is not of model/ as it is now: model/_layers.py changed since" in result.err
