"""retrain, executed: new data becomes a pull request with its check, bad data none, and the same data nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import INSTANT, Fork
from tests.workflows.act import GitHub

REFRESH = '''

def refresh() -> None:
    """From where the business keeps it."""
    SLOPE_FILE.write_text(open({!r}).read())
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source") / "slope.txt"


@pytest.fixture(scope="module")
def github(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    """A model that still answers twice its input; what is right is its data, which refresh() brings."""
    folder = tmp_path_factory.mktemp("retrain")
    fork = Fork(folder / "fork")
    text = INSTANT.replace("    return Data(", "    right = float(SLOPE_FILE.read_text())\n    return Data(")
    text = text.replace("Split(x, SLOPE", "Split(x, right").replace("10 * SLOPE * x)", "10 * right * x)")
    text = text.replace("SLOPE = 2.0\n", 'SLOPE = 2.0\nSLOPE_FILE = pathlib.Path(__file__).with_name("slope.txt")\n')
    fork.write_model(text.replace("import keras", "import pathlib\n\nimport keras", 1) + REFRESH.format(str(source)))
    (fork.root / "model/slope.txt").write_text("2.0\n")
    fork.commit("a model whose data comes from elsewhere")
    yield GitHub(folder / "github", fork)
    fork.clean_up()


def test_new_data_is_proposed_with_its_check_and_its_report(github: GitHub, source: Path) -> None:
    source.write_text("2.00001\n")
    run = github.run("retrain", "schedule", {}, variables={"RETRAIN": "true"}).ok()
    assert run.jobs == {"train": "success", "propose": "success"}
    (pull,) = github.pull_requests()
    assert pull["title"].startswith("The data of ") and pull["head"]["ref"] == "retrain"
    assert "| instant | max_absolute_error | – | 0.000" in pull["body"]
    assert github.git("diff", "--name-only", "main", "retrain").split() == ["model/slope.txt"]
    (status,) = github.read()["statuses"]
    assert (status["sha"], status["state"]) == (github.git("rev-parse", "retrain").strip(), "success")
    assert status["description"] == "trained on this data in the run that proposes it, and all gates passed"


def test_data_on_which_the_model_fails_is_not_proposed(github: GitHub, source: Path) -> None:
    source.write_text("3.0\n")
    run = github.run("retrain", "workflow_dispatch", {}).failed()
    assert "instant is refused: max_absolute_error is 20" in run.log and "**refused**" in run.summary
    assert run.jobs.get("propose") != "success"
    assert github.git("show", "retrain:model/slope.txt") == "2.00001\n"


def test_the_same_data_is_no_reason_to_train(github: GitHub, source: Path) -> None:
    source.write_text("2.00001\n")
    github.merge(github.pull_requests()[0]["number"])
    run = github.run("retrain", "workflow_dispatch", {}).ok()
    assert "refresh    nothing changed" in run.log
    assert ("train", "Main ./pipeline train") not in run.steps or run.steps[
        "train", "Main ./pipeline train"
    ] == "skipped"
    assert not github.pull_requests()


def test_a_fork_does_not_run_it_on_a_schedule(github: GitHub) -> None:
    off = github.run("retrain", "schedule", {}).ok()
    assert "success" not in off.jobs.values() and "pipeline" not in off.log
