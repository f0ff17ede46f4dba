"""train: deterministic, and a defect in a model file is named."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.release import trainer
from scripts.workspace.errors import YourTurn
from tests.support.fork import INSTANT, Fork
from tests.support.weights import weights


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
    "bound that is no number": (
        "at_most=0.001",
        'at_most="0.001"',
        "model/instant.py: the gate on 'max_absolute_error' has the bound '0.001', which is no number",
    ),
    "gate that is none": (
        'Gate("max_absolute_error", at_most=0.001)',
        '("max_absolute_error", 0.001)',
        "model/instant.py: GATES must be a list of Gate(…)",
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
    assert not (fork.root / "build/instant/backup").exists()


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


STEPS = """\
    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 4 and not os.path.exists("build/killed"):
                open("build/killed", "w").close()
                os.kill(os.getpid(), 9)

    callbacks = [*callbacks, Killed()]
    return network.fit(data.train.inputs, data.train.targets, epochs=6, shuffle=False, verbose=0, callbacks=callbacks)
"""


def test_one_that_was_killed_goes_on_to_the_same_weights(fork: Fork) -> None:
    """With a backup after every epoch, in the place of one a minute."""
    fork.edit("scripts/training/backups.py", "BACKUP_SECONDS = 60", "BACKUP_SECONDS = 0")
    start = INSTANT.index("    network.set_weights(")
    text = INSTANT[:start] + STEPS + INSTANT[INSTANT.index("\n\ndef serving") - 1 :]
    fork.write_model(text.replace("import keras\n", "import os\n\nimport keras\n", 1).replace("SGD(0.0)", "Adam(0.1)"))
    killed = fork.run("train")
    assert killed.code == 1
    assert "error: model/instant.py: train was killed by SIGKILL; it had taken " in killed.err
    assert "train      instant: goes on after epoch 4, where it was ended" in fork.ok("train").err
    resumed = fork.read("build/instant/history.json")
    assert len(resumed["curves"]["loss"]) == 2
    before = weights(fork)
    shutil.rmtree(fork.root / "build/instant")
    assert "goes on" not in fork.ok("train").err
    assert fork.read("build/instant/history.json")["curves"]["loss"][4:] == resumed["curves"]["loss"]
    assert weights(fork) == before


LOOP = """\
    import os

    if not os.path.exists("build/killed"):
        open("build/killed", "w").close()
        os.kill(os.getpid(), 9)
    network.set_weights("""


def test_one_that_cannot_go_on_says_why(fork: Fork) -> None:
    fork.write_model(INSTANT.replace("    network.set_weights(", LOOP))
    assert fork.run("train").code == 1
    said = fork.ok("train").err
    assert (
        "instant: begins anew, since what was ended left no backup: fit() gives `callbacks` to no fit() of Keras"
        in said
    )
    assert not (fork.root / "build/instant/backup").exists()


STRATEGY = """\
    devices = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
        model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    return model
"""


def test_on_several_devices(fork: Fork) -> None:
    """Two of one processor, by MirroredStrategy: trained, judged and exported as on one."""
    start, end = INSTANT.index("    model = keras.Sequential"), INSTANT.index("\n\ndef fit(")
    fork.write_model(INSTANT[:start] + STRATEGY + INSTANT[end:])
    for verb in ("train", "evaluate", "export"):
        fork.ok(verb)
    assert fork.read("build/instant/evaluation.json")["passed"]


def test_nothing_of_the_user_s_decides_the_weights(fork: Fork, tmp_path: Path) -> None:
    """Keras's settings in a home, and variables that Keras and TensorFlow read."""
    fork.given("train")
    before = weights(fork)
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text('{"floatx": "float64", "backend": "jax"}')
    assert fork.command("train", HOME=str(tmp_path), KERAS_BACKEND="jax", TF_ENABLE_ONEDNN_OPTS="0").returncode == 0
    assert weights(fork) == before


def test_a_breakpoint_has_the_terminal(fork: Fork) -> None:
    """By `up` as by `train`: the debugger reads what is typed."""
    fork.write_model(INSTANT.replace("    network.set_weights", "    breakpoint()\n    network.set_weights"))
    fork.warm()
    environment = os.environ | {"DOCKER_HOST": "unix:///nonexistent.sock"}
    for verb in ("train", "up"):
        typed = "print('SLOPE', SLOPE)\nquit()\n"
        ran = subprocess.run(
            ["./pipeline", verb], cwd=fork.root, input=typed, capture_output=True, text=True, env=environment
        )
        assert "SLOPE 2.0" in ran.stdout, ran.stderr
        assert ran.returncode == 1


ELSEWHERE = {
    "nothing to cancel": (["--cancel"], "--cancel ends a training in a cluster, and none is named"),
    "this computer": (["--on", "local"], "local is this computer, and no cluster"),
    "no such environment": (["--on", "devv"], "no environment 'devv'; did you mean 'dev'?"),
    "no registry": (["--to", "mine"], "--to mine names no registry"),
    "no cluster": (["--on", "dev"], "no cluster is configured for dev"),
}


@pytest.mark.parametrize("defect", ELSEWHERE)
def test_refuses_a_training_elsewhere(shared_fork: Fork, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    arguments, message = ELSEWHERE[defect]
    monkeypatch.delenv("KUBECONFIG", raising=False)
    result = shared_fork.run("train", *arguments)
    assert (result.code, result.err.splitlines()[0]) == (1, f"error: {message}")


def test_refuses_a_training_elsewhere_without_a_registry(shared_fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared_fork.root)
    with pytest.raises(YourTurn, match="a training elsewhere needs a registry: there is no setting image"):
        trainer.repository()
