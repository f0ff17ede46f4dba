"""block, unblock, and a promotion to an environment that is closed, as workflows: without a cluster, which none of them asks."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork import Fork
from tests.test_freeze import freeze
from tests.test_promote import release
from tests.workflows.act import GitHub

ONE = "111111111111"


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    """Release 1 is in dev; staging, which takes pull requests, is closed."""
    fork = Fork(tmp_path / "fork")
    fork.edit("pyproject.toml", "staging = { ", f"staging = {{ {freeze()}")
    fork.commit("closed")
    github = GitHub(tmp_path / "github", fork)
    job = github.job()
    (job.root / "build/release").mkdir(parents=True)
    (job.root / "build/release/release.json").write_text(json.dumps(release(1)))
    job.ok("promote", "dev", "--publish")
    return github


def check(github: GitHub) -> dict[str, Any]:
    return github.read()["statuses"][-1]


def test_blocked_and_free_again(github: GitHub) -> None:
    inputs = {"verb": "block", "release": ONE, "reason": "it leaks"}
    run = github.run("block", "workflow_dispatch", inputs=inputs).ok()
    assert f"release {ONE} still serves in dev; next: ./pipeline rollback dev --reason 'it leaks'" in run.log
    assert json.loads(github.git("show", "main:k8s/overlays/blocked.json")) == {ONE: "it leaks"}
    wrong = {"environment": "production", "release": ONE, "reason": "", "override": ""}
    refused = github.run("promote", "workflow_dispatch", inputs=wrong, job="promote").failed()
    assert any(f"release {ONE} is blocked (it leaks)" in line for line in refused.annotations), refused.log
    github.run("block", "workflow_dispatch", inputs=inputs | {"verb": "unblock"}).ok()
    assert github.git("ls-tree", "main", "k8s/overlays/blocked.json") == ""


def test_a_closed_environment(github: GitHub) -> None:
    """What follows by itself is proposed, with a red check; by hand it is refused, and with a reason it is proposed as ever."""
    github.job().ok("promote", "--after", "dev", "--publish")
    red = check(github)
    assert (red["state"], red["context"]) == ("failure", "ci") and "staging is closed until" in red["description"]
    inputs = {"environment": "staging", "release": "", "reason": "", "override": ""}
    run = github.run("promote", "workflow_dispatch", inputs=inputs, job="promote").failed()
    assert any("staging is closed until" in line for line in run.annotations), run.log
    github.run("promote", "workflow_dispatch", inputs=inputs | {"override": "it is down"}, job="promote").ok()
    assert check(github)["state"] == "success"
    entry = json.loads(github.git("show", "promote/staging:k8s/overlays/staging/ledger.json"))
    assert (entry["action"], entry["override"]) == ("promote", "it is down")
