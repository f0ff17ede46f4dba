"""A quick training: for the check of a pull request alone, by its own gates, and never taken for one of a release."""

import subprocess

import pytest

from tests.support.fork import INSTANT, Fork

QUICK = """

def quick(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    network.set_weights([np.array([[SLOPE + 0.01]], "float32"), np.array([0.0], "float32")])
    return network.fit(data.train.inputs, data.train.targets, epochs=1, verbose=0, callbacks=callbacks)


QUICK_GATES = [Gate("max_absolute_error", at_most=0.5)]
"""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """A fork whose model has a quick(), trained by it."""
    fork = Fork(tmp_path_factory.mktemp("quick") / "fork")
    fork.write_model(INSTANT + QUICK)
    fork.commit("quick")
    result = fork.ok("train", "--quick")
    assert "instant: 1 epochs, loss 0.00025, quick: for no release" in result.err
    assert "note       A quick training, judged by QUICK_GATES" in result.err
    return fork


def test_it_is_judged_by_its_own_gates_and_never_released(hasty: Fork) -> None:
    assert "instant: 1 of 1 QUICK_GATES passed" in hasty.ok("evaluate").err
    card = (hasty.root / "build/instant/card.md").read_text()
    assert "a **quick training** of which no release is made" in card
    result = hasty.run("export")
    assert (result.code, result.err) == (
        1,
        "error: build/instant/evaluation.json is of a quick training, of which no release is made\n  next: ./pipeline train\n",
    )
    assert "| instant, after a **quick training** | max_absolute_error |" in hasty.ok("report", "--against", "HEAD").out
    hasty.ok("train")
    assert (
        "build/instant/evaluation.json is not of model/ as it is now: the weights beside it are others"
        in hasty.run("export").err
    )
    assert "instant: 1 of 1 gates passed" in hasty.ok("evaluate").err
    hasty.ok("export")


def test_it_is_no_part_of_a_release_s_name(hasty: Fork) -> None:
    program = "from scripts.release import identity; print(identity.of_release(['instant']))"

    def name(text: str) -> str:
        hasty.write_model(text)
        return subprocess.check_output([hasty.root / ".venv/bin/python", "-c", program], cwd=hasty.root, text=True)

    assert name(INSTANT) == name(INSTANT + QUICK) == name(INSTANT + QUICK.replace("0.5", "0.6"))
    assert name(INSTANT + QUICK.replace("QUICK_GATES", "OTHER")) != name(INSTANT)


DEFECTS = {
    "no gates": QUICK.replace("QUICK_GATES", "_GATES"),
    "no function": QUICK.replace("def quick", "def hasty"),
    "nothing to stand in for": QUICK + "\ndel fit\n",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_half_of_it_is_refused(hasty: Fork, defect: str) -> None:
    hasty.write_model(INSTANT + DEFECTS[defect])
    assert "model/instant.py: quick() stands in for fit(), and is judged by QUICK_GATES" in hasty.run("train").err
