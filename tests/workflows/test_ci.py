"""ci, executed: a pull request is linted, its model trained and judged, what it changes said in one comment, and the last job knows.

Only what a change reaches is run: its model, or the template's own tests.

Stood in for is `./pipeline test`, which would run this suite in itself, and `./pipeline lint` where it would say again what it has said.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork import INSTANT, Fork
from tests.workflows.act import REPOSITORY, GitHub, Run
from tests.workflows.test_security import LINT

# A runner of its own may lack Docker; the image and its tests are tests/container's and test_flow's.
NO_DOCKER = {"TRAIN_RUNNER": "self-hosted"}
TEST = '''"""Stands in for the test suite, and says with what it was called"""

import os


def run() -> int:
    print(f"the suite would run, with REQUIRE={os.environ.get('REQUIRE')}")
    return 0
'''


@pytest.fixture
def pull_request(fork: Fork, tmp_path: Path) -> Callable[..., tuple[GitHub, dict[str, Any]]]:
    """A branch with a model and a replica more, and what the event says of the pull request from `repository`."""

    def open_one(repository: str = REPOSITORY, linted: bool = False, **replaced: str) -> tuple[GitHub, dict[str, Any]]:
        (fork.root / "scripts/test.py").write_text(TEST)
        if not linted:
            (fork.root / "scripts/lint.py").write_text(LINT)
        fork.commit("stand in for the suite")
        github = GitHub(tmp_path / "github", fork)
        fork.git("checkout", "-q", "-b", "change")
        text = INSTANT
        for old, new in replaced.items():
            text = text.replace(f"{old} = ", f"{old} = {new}", 1)
        (fork.root / "model/instant.py").write_text(f"{text}\nA_CHANGE = True\n")
        fork.edit("k8s/overlays/dev/replicas.yaml", "replicas: 1", "replicas: 3")
        fork.commit("change")
        fork.git("push", "-q", "origin", "change")
        head = {"ref": "change", "sha": github.git("rev-parse", "change").strip(), "repo": {"full_name": repository}}
        base = {"ref": "main", "sha": github.git("rev-parse", "main").strip()}
        return github, {"action": "opened", "number": 7, "pull_request": {"number": 7, "head": head, "base": base}}

    return open_one


def done(run: Run) -> set[str]:
    return {job for job, result in run.jobs.items() if result == "success"}


def test_a_pull_request_has_its_consequences_in_one_comment(pull_request: Callable) -> None:
    """A new model and a replica more: the template is as it was, and so are its tests."""
    github, payload = pull_request(linted=True)
    run = github.run("ci", "pull_request", payload, revision="change", variables=NO_DOCKER).ok()
    assert done(run) == {"lint", "model", "ci"}
    assert "scope      the release\n" in run.log
    (comment,) = github.read()["comments"]
    assert comment["issue"] == 7
    assert "takes the place of none: it is the first one" in comment["body"]
    assert "| instant | max_absolute_error | – | 0 | <= 0.001 |" in comment["body"]
    assert "dev: 1 difference<" in comment["body"] and "spec.replicas: 1 → 3" in comment["body"]
    assert "- staging: no difference" in comment["body"]
    assert "What merging this changes" in run.summary
    assert (
        "in the artifact `report` of [this run](https://github.com/acme/Model/actions/runs/1#artifacts)" in run.summary
    )
    assert (github.folder / "artifacts/1/report/instant/card.md").exists()


def test_a_change_of_the_template_runs_its_tests_and_trains_nothing(pull_request: Callable, fork: Fork) -> None:
    github, payload = pull_request()
    fork.git("checkout", "-q", "-B", "change", "main")
    fork.edit("scripts/steps/conclude.py", "Fails if one", "It fails if one")
    fork.commit("a change of the template")
    fork.git("push", "-q", "-f", "origin", "change")
    run = github.run("ci", "pull_request", payload, revision="change").ok()
    assert done(run) == {"lint", "test", "ci"}
    assert "the suite would run, with REQUIRE=docker,cluster" in run.log
    assert "stays: nothing that decides its answers changes" in github.read()["comments"][0]["body"]


def test_a_strangers_bad_model_is_refused_and_writes_nothing(pull_request: Callable) -> None:
    """From a fork, whose token may only read: the report is in the summary."""
    github, payload = pull_request("stranger/Model", GATES='[Gate("max_absolute_error", at_least=1)] if True else ')
    run = github.run("ci", "pull_request", payload, revision="change", variables=NO_DOCKER).failed()
    assert (run.jobs["model"], run.jobs["ci"]) == ("failure", "failure")
    assert "not all jobs succeeded: " in run.log and "model (failure)" in run.log
    assert "**refused**" in run.summary
    assert "comments" not in github.read() and "requests" not in github.read()
