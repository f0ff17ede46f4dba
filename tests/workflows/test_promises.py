"""The promises that a reader of the workflows can check: short, one line a step, pinned, without a right that nobody explained."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from scripts.__main__ import STEPS, VERBS
from scripts.ledger import promotion
from scripts.workspace import commits
from tests.support.fork import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
NAMES = {
    "ci",
    "release",
    "deploy",
    "promote",
    "rollback",
    "drift",
    "security",
    "retrain",
    "preview",
    "block",
    "board",
    "server",
    "resume",
}
SWITCH = {name: f"vars.{name.upper()} == 'true'" for name in ("drift", "security", "retrain", "preview")}
SWITCH |= {"resume": "vars.TRAIN_ON != ''"}
PIN = re.compile(r"^\s*(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
each_file = pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}-{path.stem}")


def load(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path.read_text())  # YAML 1.2, in which `on` is a string


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step, with the name of its job."""
    document = load(path)
    jobs = document.get("jobs") or {"action": document.get("runs", {})}
    for name, job in jobs.items():
        yield from ((name, step) for step in job.get("steps", []))


def pins(path: Path) -> list[tuple[str, str, str]]:
    """Action, commit and version of each pinned step."""
    return [match.groups() for line in path.read_text().splitlines() if (match := PIN.match(line))]


def test_all_of_them_are_there() -> None:
    assert {path.stem for path in WORKFLOWS} == NAMES


@each_workflow
def test_it_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100


@each_file
def test_every_step_is_one_line_that_calls_the_pipeline(path: Path) -> None:
    for job, step in steps(path):
        if run := step.get("run"):
            found = re.fullmatch(r"\./pipeline ([a-z-]+)( .*)?", run.rstrip("\n"))
            assert found and found[1] in VERBS + STEPS, f"{job}: {run}"
            assert "${{" not in run, f"{job}: {run}: what comes from outside goes through env, where no shell reads it"


@each_file
def test_every_action_is_pinned_with_its_version(path: Path) -> None:
    for line in path.read_text().splitlines():
        if re.match(r"\s*(- )?uses: (?!\./)", line):
            assert PIN.match(line), line


def test_an_action_is_at_one_version_everywhere() -> None:
    versions: dict[str, set[tuple[str, str]]] = {}
    for path in [*WORKFLOWS, *ACTIONS]:
        for name, commit, version in pins(path):
            versions.setdefault("/".join(name.split("/")[:2]), set()).add((commit, version))
    assert [name for name, found in versions.items() if len(found) > 1] == []


@each_workflow
def test_no_right_without_its_reason(path: Path) -> None:
    """None at the top; then each job what it needs, and beside each grant why."""
    document, text = load(path), path.read_text()
    assert document["permissions"] == {}
    assert all("permissions" in job for job in document["jobs"].values())
    assert "write-all" not in text and "read-all" not in text
    inside = None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if inside is not None and line.strip():
            assert re.match(r"\s*[a-z-]+: (read|write) # \S", line), line
        if re.match(r"\s+permissions:\s*(#.*)?$", line):
            inside = indent


@each_workflow
def test_the_name_of_a_job_is_plain_text(path: Path) -> None:
    """Of a job that is skipped GitHub shows the name as it stands there, unevaluated."""
    assert {name: job["name"] for name, job in load(path)["jobs"].items() if "${{" in job.get("name", "")} == {}


@each_workflow
def test_a_run_can_be_repeated(path: Path) -> None:
    """Within the 30 days that GitHub allows it: what the first attempt has left is there, and is written over."""
    for job, step in steps(path):
        if step.get("uses", "").startswith("actions/upload-artifact@"):
            assert step["with"].get("overwrite") is True, f"{job}: a second upload by that name is refused (409)"
            assert step["with"].get("retention-days", 30) >= 30, job


@each_workflow
def test_what_reports_to_code_scanning_may_do_so_in_a_private_repository(path: Path) -> None:
    jobs = load(path)["jobs"]
    for name, step in steps(path):
        if step.get("uses", "").startswith("github/codeql-action/"):
            needed = {"actions": "read", "contents": "read", "security-events": "write"}
            assert needed.items() <= jobs[name]["permissions"].items(), name
            assert "build-mode" not in step.get("with", {}), "which is of a single language"


@each_workflow
def test_an_app_is_named_by_its_client_id_and_asked_for_what_every_app_has(path: Path) -> None:
    """The App's token is for pushes that a ruleset lets pass; workflows are started by the workflow's own, which may."""
    for job, step in steps(path):
        if step.get("uses", "").startswith("actions/create-github-app-token@"):
            rights = {key for key in step["with"] if key.startswith("permission-")}
            assert rights == {"permission-contents", "permission-pull-requests", "permission-statuses"}, job
            assert "client-id" in step["with"] and "app-id" not in step["with"], job
        if "--dispatch" in step.get("run", ""):
            assert step["env"]["DISPATCH_TOKEN"] == "${{ github.token }}", job
            assert load(path)["jobs"][job]["permissions"]["actions"] == "write", job


def test_what_the_pipeline_pushes_by_an_app_starts_nothing_twice() -> None:
    """An App's push starts workflows, other than that of the workflow's own token. A person's merge has another committer."""
    release, deploy = (load(ROOT / f".github/workflows/{name}.yml") for name in ("release", "deploy"))
    assert release["on"]["push"]["paths-ignore"] == promotion.NOT_RELEASED, "a promotion is no new release"
    condition = deploy["jobs"]["changed"]["if"]
    assert "github.event.sender.type != 'Bot'" in condition
    assert f"github.event.head_commit.committer.email != '{commits.COMMITTER}'" in condition


def test_scorecard_may_read_what_it_judges() -> None:
    """In a private repository nothing is readable that is not granted."""
    jobs = load(ROOT / ".github/workflows/security.yml")["jobs"]
    needed = dict.fromkeys(("actions", "checks", "contents", "issues", "pull-requests"), "read")
    assert needed.items() <= jobs["scorecard"]["permissions"].items()


@each_workflow
def test_what_queues_is_never_cancelled(path: Path) -> None:
    """GitHub takes no workflow that asks for both."""
    document = load(path)
    limits = [one["concurrency"] for one in (document, *document["jobs"].values()) if "concurrency" in one]
    assert [limit for limit in limits if limit.get("queue") == "max" and limit["cancel-in-progress"] is not False] == []


def test_the_image_scan_waits_for_no_other_check() -> None:
    jobs = load(ROOT / ".github/workflows/security.yml")["jobs"]
    assert jobs["image"]["needs"] == "plan"
    assert [step["run"] for step in jobs["plan"]["steps"] if "run" in step] == ["./pipeline ledgers"]


def test_dependabot_s_own_runs_need_no_secret() -> None:
    """Also that in which it closes its pull request: what is left is swept once a week."""
    for job, values in load(ROOT / ".github/workflows/preview.yml")["jobs"].items():
        assert "github.actor != 'dependabot[bot]'" in values["if"], job


def test_ci_trains_where_a_release_does_but_a_stranger_s_never_on_a_runner_of_one_s_own() -> None:
    ci, release = (load(ROOT / f".github/workflows/{name}.yml")["jobs"] for name in ("ci", "release"))
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    assert ci["model"]["runs-on"] == f"${{{{ {same} && vars.TRAIN_RUNNER || 'ubuntu-24.04' }}}}"
    assert ci["model"]["timeout-minutes"] == release["train"]["timeout-minutes"]
    passwords = [s["with"]["password"] for s in ci["model"]["steps"] if "password" in s.get("with", {})]
    assert passwords == ["${{ env.STRANGER == 'false' && github.token || '' }}"], "a stranger's is given none"
    other = same.replace("==", "!=")
    assert (
        load(ROOT / ".github/workflows/ci.yml")["env"]["STRANGER"]
        == f"${{{{ github.event_name == 'pull_request' && {other} }}}}"
    )


@each_workflow
def test_every_job_ends(path: Path) -> None:
    for name, job in load(path)["jobs"].items():
        assert "uses" in job or isinstance(job.get("timeout-minutes"), int), f"{name} has no timeout"


@each_workflow
def test_credentials_stay_only_where_something_is_pushed(path: Path) -> None:
    jobs = load(path)["jobs"]
    for name, step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            keeps = step.get("with", {}).get("persist-credentials") is not False
            pushes = jobs[name]["permissions"].get("contents") == "write"
            assert not keeps or pushes, f"{name} keeps the token in .git/config, and pushes nothing"


@each_workflow
def test_runs_that_change_something_limit_each_other(path: Path) -> None:
    document = load(path)
    for name, job in document["jobs"].items():
        changes = "environment" in job or "write" in job["permissions"].values()
        assert not changes or "concurrency" in document or "concurrency" in job or "uses" in job, name


@each_workflow
def test_a_pull_request_never_meets_secrets_by_a_back_door(path: Path) -> None:
    """Those two events run with the repository's own rights on what a stranger may have written."""
    events = set(load(path)["on"])
    assert not {"pull_request_target", "workflow_run"} & events
    assert "pull_request" not in events or "secrets: inherit" not in path.read_text()


@each_workflow
def test_a_schedule_is_off_until_its_variable_turns_it_on(path: Path) -> None:
    """A fork has no variables, so none of the template's scheduled jobs runs there."""
    document = load(path)
    if "schedule" not in document["on"]:
        return
    for name, job in document["jobs"].items():
        condition = job.get("if", "")
        gated = SWITCH[path.stem] in condition
        waits = "needs" in job and ("()" not in condition or "result != 'skipped'" in condition)
        assert gated or waits, f"{name} would run on a schedule in every fork"


@pytest.mark.parametrize("name", ["preview"])
def test_nothing_of_a_fork_is_deployed(name: str) -> None:
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    for job, values in load(ROOT / f".github/workflows/{name}.yml")["jobs"].items():
        assert same in values["if"], job


def test_a_pull_request_meets_no_secret_in_ci() -> None:
    document = load(ROOT / ".github/workflows/ci.yml")
    assert "secrets." not in (ROOT / ".github/workflows/ci.yml").read_text()
    assert not any("environment" in job for job in document["jobs"].values())
    held = {
        name: {p for p, way in job["permissions"].items() if way == "write"} for name, job in document["jobs"].items()
    }
    writes = {name for name, permissions in held.items() if permissions - {"id-token"}}
    assert writes == {"ci"}, "and that one runs no model"
    assert "id-token" not in held["test"] | held["lint"] | held["ci"], "only where the data are read"


def test_the_job_that_branch_protection_names_waits_for_all_others() -> None:
    jobs = load(ROOT / ".github/workflows/ci.yml")["jobs"]
    assert set(jobs["ci"]["needs"]) == jobs.keys() - {"ci"}
    assert jobs["ci"]["if"] == "always()"


@pytest.mark.parametrize("name", ["deploy", "rollback"])
def test_no_deployment_is_dropped_or_cut_off(name: str) -> None:
    """One at a time in each environment; GitHub would drop the second that waits but for `queue`.

    A rollback's group is not a deployment's, which may wait for a reviewer for weeks: the cluster's Lease keeps the two apart.
    """
    document = load(ROOT / f".github/workflows/{name}.yml")
    for job, values in document["jobs"].items():
        if "environment" in values:
            limit = values.get("concurrency") or document["concurrency"]
            assert limit["group"].startswith(f"{name}-${{{{"), job
            assert (limit["cancel-in-progress"], limit["queue"]) == (False, "max"), job
