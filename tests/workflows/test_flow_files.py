"""What of the flow act cannot show, read from the files: names that must agree, and rights that a called workflow must be given."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scripts import board
from scripts.github import attestations, pull_requests
from scripts.ledger import overlays, promotion
from tests.container.conftest import REGISTRY as REGISTRY_IMAGE
from tests.support.fork import ROOT

WORKFLOWS = ROOT / ".github/workflows"
LEVELS = ["none", "read", "write"]


def load(name: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((WORKFLOWS / f"{name}.yml").read_text())  # YAML 1.2: `on` is a string


def rights(name: str) -> dict[str, str]:
    """All that the jobs of a workflow ask for, and those of the workflows that they call."""
    found: dict[str, str] = {}
    for job in load(name)["jobs"].values():
        called = rights(callee(job)) if callee(job) else {}
        for scope, level in [*(job.get("permissions") or {}).items(), *called.items()]:
            found[scope] = max(found.get(scope, "none"), level, key=LEVELS.index)
    return found


def callee(job: dict[str, Any]) -> str:
    return job.get("uses", "").removeprefix("./.github/workflows/").removesuffix(".yml")


@pytest.mark.parametrize(("name", "job"), [("release", "promote"), ("promote", "deploy")])
def test_a_called_workflow_is_given_what_it_asks_for_and_no_more(name: str, job: str) -> None:
    document = load(name)["jobs"][job]
    assert document["permissions"] == rights(callee(document))
    assert document["secrets"] == "inherit"  # an environment's own reach a called workflow in no other way


@pytest.mark.parametrize("name", ["deploy", "promote", "rollback"])
def test_a_dispatch_offers_the_environments_that_there_are(name: str) -> None:
    inputs = load(name)["on"]["workflow_dispatch"]["inputs"]
    assert inputs["environment"]["type"] == "choice"
    assert inputs["environment"]["options"] == overlays.names()


def test_a_release_goes_to_the_first_environment_and_is_judged_against_all() -> None:
    jobs, names = load("release")["jobs"], overlays.names()
    assert jobs["promote"]["with"] == {"environment": names[0], "source": "candidate", "commit": "${{ inputs.commit }}"}
    evaluate = f"./pipeline evaluate {' '.join(f'--against {name}' for name in names)}"
    assert evaluate in [step.get("run") for step in jobs["train"]["steps"]]


def test_a_release_of_an_earlier_commit_is_of_that_commit_in_every_job() -> None:
    """So that `promote` sees where a later one is there."""
    steps = [step for job in load("release")["jobs"].values() for step in job.get("steps", [])]
    checkouts = [step["with"]["ref"] for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert checkouts == ["${{ inputs.commit }}"] * 4
    (checkout, *_) = load("promote")["jobs"]["promote"]["steps"]
    assert checkout["with"]["ref"] == "${{ inputs.source && (inputs.commit || github.sha) || 'main' }}"


def test_a_rollback_asks_for_a_reason_and_for_nothing_of_an_earlier_run() -> None:
    document = load("rollback")
    assert document["on"]["workflow_dispatch"]["inputs"]["reason"]["required"] is True
    uses = [step.get("uses", "") for step in document["jobs"]["rollback"]["steps"]]
    assert not [action for action in uses if "artifact" in action or "attest" in action or "cache" in action]


@pytest.mark.parametrize(("manifests", "flags"), [("yes", ["--with-manifests"]), ("", [])], ids=["asked for", "not"])
def test_a_rollback_brings_the_manifests_of_then_where_that_is_asked_for(
    tmp_path: Path, manifests: str, flags: list[str]
) -> None:
    (step,) = [step for step in load("rollback")["jobs"]["rollback"]["steps"] if step.get("id") == "rollback"]
    assert step["env"]["MANIFESTS"] == "${{ inputs.manifests && 'yes' || '' }}"
    (tmp_path / "pipeline").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "pipeline").chmod(0o755)
    variables = {"ENVIRONMENT": "dev", "RELEASE": "", "REASON": "wrong answers", "MANIFESTS": manifests}
    variables["GITHUB_SHA"] = "c0ffee"  # the commit at which it was asked for
    done = subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True)
    asked = ["rollback", "dev", "--to", "", "--seen", "c0ffee", "--reason", "wrong answers"]
    assert done.stdout.splitlines() == [*asked, *flags]


def test_what_trains_and_what_builds_cannot_write_to_the_repository() -> None:
    jobs = load("release")["jobs"]
    # The token tells a cloud which repository asks: that of the data, whose role may read them and do nothing else.
    assert jobs["train"]["permissions"] == {"contents": "read", "packages": "read", "id-token": "write"}
    assert jobs["image"]["permissions"]["contents"] == "read"


def test_the_base_of_an_image_is_named_where_dependabot_finds_it() -> None:
    """It reads FROM, and no variable in it."""
    (line,) = [line for line in (ROOT / "serving/Dockerfile").read_text().splitlines() if line.startswith("FROM")]
    updates = YAML(typ="safe").load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert re.fullmatch(r"FROM tensorflow/serving:\d+\.\d+\.\d+(-gpu)?(@sha256:[0-9a-f]{64})?", line)
    assert [u["package-ecosystem"] for u in updates if u.get("directory") == "/serving"] == ["docker"]


def test_the_registry_of_the_tests_is_that_of_the_job() -> None:
    image = load("ci")["jobs"]["test"]["services"]["registry"]["image"]
    assert image.partition("@")[0] == REGISTRY_IMAGE


def test_names_in_the_verbs_are_names_of_the_files() -> None:
    attests = [step for step in load("release")["jobs"]["image"]["steps"] if "actions/attest@" in step.get("uses", "")]
    assert attestations.WORKFLOW == ".github/workflows/release.yml"
    assert [step["with"]["push-to-registry"] for step in attests] == [True, True], "where a cluster finds them"
    assert (WORKFLOWS / board.PUBLISHES).exists()
    assert "environment" in load(promotion.DEPLOYS.removesuffix(".yml"))["on"]["workflow_dispatch"]["inputs"]
    assert pull_requests.CHECK == "ci"
