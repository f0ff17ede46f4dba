"""docs/samples: the model card, the promotion and the drift issue that a fork gets, made anew by the real verbs and compared.

`WRITE_SAMPLES=1 ./pipeline test tests/test_samples.py` writes them. What differs from run to run is masked: numbers, hashes, times.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork import ROOT, Fork
from tests.workflows.act import GitHub

FOLDER = ROOT / "docs/samples"
VARYING = re.compile(r"\b[0-9a-f]{7,64}\b|(?:(?<!\w)-)?\d+(?:\.\d+)?(?:e-?\d+)?%?")
IMAGE = "ghcr.io/octo-org/digits"
DRIFTED = {
    "environment": "dev",
    "configured": True,
    "problems": [
        "differs from the ledger: Deployment/serving spec.replicas: 3 → 1",
        "differs from the ledger: Deployment/serving spec.template.spec.containers[serving].env[BY_HAND]: "
        "set by kubectl-set, and not by the overlay",
    ],
}


def compare(name: str, text: str) -> None:
    file = FOLDER / f"{name}.md"
    if os.environ.get("WRITE_SAMPLES"):
        file.write_text(text.rstrip("\n") + "\n")
    assert VARYING.sub("N", file.read_text()).split() == VARYING.sub("N", text).split()


def test_a_model_card(trained: Fork) -> None:
    compare("model-card", (trained.root / "build/linear_regression/summary.md").read_text())


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> GitHub:
    """dev has a second release of the model, staging the first."""
    fork = Fork(tmp_path_factory.mktemp("samples") / "fork")
    fork.write_model()
    fork.commit("The first model")
    github = GitHub(tmp_path_factory.mktemp("github") / "github", fork)
    for number, slope in ((1, "2.0"), (2, "2.0004")):
        fork.release(SLOPE=slope)
        github.push()
        promote(github, fork.read("build/release/release.json"), number)
    return github


def promote(github: GitHub, document: dict[str, Any], number: int) -> None:
    job = github.job()
    place = {"image": {"name": IMAGE, "digest": f"sha256:{str(number) * 64}"}}
    (job.root / "build/release").mkdir(parents=True)
    (job.root / "build/release/release.json").write_text(json.dumps(document | place))
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    github.job().ok("promote", "--after", "dev", "--publish")
    if number == 1:
        github.merge(github.pull_requests()[0]["number"])


def test_a_promotion(github: GitHub) -> None:
    (pull,) = github.pull_requests()
    compare("promotion", f"# {pull['title']}\n\n{pull['body']}")


def test_a_drift_issue(github: GitHub, tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(json.dumps(DRIFTED))
    (tmp_path / "staging.json").write_text(json.dumps(DRIFTED | {"environment": "staging", "problems": []}))
    github.job().ok("drift", str(tmp_path))
    (issue,) = github.read()["issues"]
    compare("drift-issue", f"# {issue['title']}\n\n{issue['body']}")
