"""What doctor says of a fork on GitHub, one row for each state that it can be in."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.workspace.files import sha256
from tests.support import github
from tests.support.fork import ROOT, Fork
from tests.support.github import (
    ABOUT,
    CHECKS,
    EKS,
    MAIN_ONLY,
    NOT_FOUND,
    PLAN,
    REVIEWERS,
    GitHub,
    environment,
    variables,
)

SETTINGS = "https://github.com/Octo-Org/Digits/settings"
ALL = ("dev", "staging", "production")
PREFIX = "repo:Octo-Org@5544123/Digits@821093847"
OLD = ABOUT | {"created_at": "2026-07-14T23:59:59Z"}
PRIVATE = ABOUT | {"private": True, "visibility": "private"}
PACKAGE = "orgs/octo-org/packages/container/digits"


def only_dev(**values: str) -> dict[str, Any]:
    return {"environments/dev/variables?per_page=100": variables(**values)}


def environments(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"environments?per_page=100": {"environments": list(listed)}}


# State: what GitHub answers otherwise than in a complete fork, and the line that doctor prints for it.
PRESENT = {
    "all there": ({}, "ok  GitHub  Octo-Org/Digits, a public fork"),
    "subject as GitHub says it": ({}, f"ok  OIDC subject  {PREFIX}:environment:production"),
    "subject of a repository of now, which GitHub does not say": (
        {"actions/oidc/customization/sub": NOT_FOUND},
        f"ok  OIDC subject  {PREFIX}:environment:dev",
    ),
    "subject of an older repository": (
        {"actions/oidc/customization/sub": {"use_default": True}, "": OLD},
        "ok  OIDC subject  repo:Octo-Org/Digits:environment:dev",
    ),
    "subject of an older repository that chose the new form": (
        {"actions/oidc/customization/sub": {"use_default": True, "use_immutable_subject": True}, "": OLD},
        f"ok  OIDC subject  {PREFIX}:environment:dev",
    ),
    "cluster by variables of the organization": (
        only_dev(CLUSTER="kubeconfig")
        | {"environments/dev/secrets?per_page=100": {"secrets": [{"name": "KUBECONFIG"}]}},
        "ok  environment dev  kubeconfig",
    ),
    "reviewers": ({}, "ok  environment production  waits for mona"),
    "branch with a classic rule": (
        {"rules/branches/main": []},
        "ok  branch  main is protected by a rule",
    ),
    "environments that the plan does not have": (
        {
            "": PRIVATE,
            "environments?per_page=100": PLAN,
            "actions/variables?per_page=100": variables(CLUSTER="kubeconfig"),
        }
        | {"actions/secrets?per_page=100": {"secrets": [{"name": "KUBECONFIG"}]}},
        "ok  environment staging  kubeconfig",
    ),
    "switch that is on": (
        {"actions/variables?per_page=100": variables(PREVIEW="true")},
        "ok  preview  on: a namespace for each pull request",
    ),
    "previews have an environment, open to any branch": (
        {"actions/variables?per_page=100": variables(PREVIEW="true")}
        | environments(*(environment(n, (REVIEWERS,)) for n in ALL), environment("preview", (), None))
        | {
            "environments/preview/variables?per_page=100": EKS,
            "environments/preview/secrets?per_page=100": {"secrets": []},
        },
        "ok  environment preview  eks one",
    ),
    "public image": ({}, "ok  image  ghcr.io/octo-org/digits: public"),
}
OFF = {
    "no issues, and no drift that reports there": (
        {"": ABOUT | {"has_issues": False}},
        "off  issues  off: drift would report there; gh repo edit --enable-issues",
    ),
    "switch": ({}, "off  drift  off: the state of each environment, every night; gh variable set DRIFT --body true"),
    "own form of subject": (
        {"actions/oidc/customization/sub": {"use_default": False, "include_claim_keys": ["repo"]}},
        "off  OIDC subject  Octo-Org/Digits has a subject of its own making",
    ),
    "no cluster": (
        only_dev(),
        "off  environment dev  no cluster: gh variable set --env dev CLUSTER --body eks, or gke",
    ),
    "environment not made yet": (
        environments(),
        f"off  environment staging  not there: its first deployment makes it; settings and reviewers: {SETTINGS}/env",
    ),
    "no reviewers": (
        environments(*(environment(name) for name in ALL)),
        "off  environment production  no reviewers: the merge of the promotion is the gate",
    ),
    "no reviewers, by the plan": (
        environments(*(environment(name) for name in ALL)) | {"": PRIVATE},
        "off  environment production  no reviewers: a private repository has them with Enterprise only",
    ),
    "no environments, by the plan": (
        {"environments?per_page=100": NOT_FOUND, "": PRIVATE},
        "off  environment dev  the plan has no environments in a private repository: its variables and secrets hold for every",
    ),
    "no branch protection, by the plan": (
        {"rules/branches/main": PLAN, "": PRIVATE},
        "off  branch  the plan lacks it: Upgrade to GitHub Pro or make this repository public",
    ),
    "no attestations, by the plan": (
        {"": PRIVATE},
        "off  attestations  in private repositories only with Enterprise",
    ),
    "no image yet": ({PACKAGE: NOT_FOUND}, "off  image  ghcr.io/octo-org/digits: nothing pushed yet"),
    "private image": (
        {PACKAGE: {"visibility": "private"}},
        "off  image  ghcr.io/octo-org/digits: private, the cluster needs k8s/components/pull-secret",
    ),
    "image not readable": (
        {PACKAGE: (403, {"message": "You need at least read:packages scope to get a package."})},
        "off  package  not readable with this login: You need at least read:packages",
    ),
    "workflow that sleeps": (
        {
            "actions/workflows?per_page=100": {
                "workflows": [{"name": "drift", "path": ".github/workflows/drift.yml", "state": "disabled_fork"}]
            }
        },
        "off  workflow  drift is disabled fork; gh workflow enable drift.yml",
    ),
    "not an administrator": (
        {"actions/permissions/workflow": (403, {"message": "Must have admin rights to Repository."})},
        "off  pull requests  not readable with this login: Must have admin rights to Repository.",
    ),
    "variables not readable": (
        {"actions/variables?per_page=100": (403, {"message": "Resource not accessible by personal access token"})},
        "off  variables  not readable with this login: Resource not accessible by personal access token",
    ),
    "not logged in": ({"": "not logged in"}, "off  GitHub  To get started with GitHub CLI, please run"),
    "no network": ({"": "no network"}, "off  GitHub  error connecting to api.github.com: Actions,"),
    "repository gone": ({"": NOT_FOUND}, "off  GitHub  Not Found: Actions, environments and variables"),
}
MISSING = {
    "Actions off": (
        {"actions/permissions": {"enabled": False}},
        "missing  Actions  switched off",
        f"allow Actions: {SETTINGS}/actions",
    ),
    "Actions not yet allowed in a fork": (
        {"actions/workflows?per_page=100": {"workflows": []}},
        "missing  Actions  not yet allowed in this fork",
        "press the button: https://github.com/Octo-Org/Digits/actions",
    ),
    "only local actions": (
        {"actions/permissions": {"enabled": True, "allowed_actions": "local_only"}},
        "missing  Actions  only local_only actions may run",
        f"allow them: {SETTINGS}/actions",
    ),
    "no pull requests by Actions": (
        {"actions/permissions/workflow": {"can_approve_pull_request_reviews": False}},
        "missing  pull requests  Actions may not open any",
        f"tick “Allow GitHub Actions to create and approve pull requests”: {SETTINGS}/actions",
    ),
    "no issues": (
        {"": ABOUT | {"has_issues": False}, "actions/variables?per_page=100": variables(DRIFT="true")},
        "missing  issues  off",
        "gh repo edit --enable-issues",
    ),
    "open branch": (
        {"rules/branches/main": [], "branches/main": {"protected": False}},
        "missing  branch  main takes a push that no check has seen",
        "./pipeline protect",
    ),
    "another default branch": (
        {"": ABOUT | {"default_branch": "master"}, "rules/branches/master": [CHECKS]},
        "missing  branch  the default branch is master, and every workflow is of main",
        "gh api --method POST repos/Octo-Org/Digits/branches/master/rename -f new_name=main",
    ),
    "branch protected without the check": (
        {"rules/branches/main": [{"type": "deletion"}]},
        "missing  branch  main takes a push that no check has seen",
        "./pipeline protect",
    ),
    "variable": (
        only_dev(CLUSTER="gke", CLUSTER_NAME="one", CLUSTER_REGION="europe-west1", GCP_PROJECT="p"),
        "missing  environment dev  gke needs GCP_WORKLOAD_IDENTITY_PROVIDER",
        "gh variable set --env dev GCP_WORKLOAD_IDENTITY_PROVIDER",
    ),
    "kind of cluster": (
        only_dev(CLUSTER="EKS"),
        "missing  environment dev  CLUSTER is 'EKS'; there is: eks, gke, aks, kubeconfig",
        "gh variable set --env dev CLUSTER",
    ),
    "secret": (
        only_dev(CLUSTER="kubeconfig") | {"environments/dev/secrets?per_page=100": {"secrets": []}},
        "missing  environment dev  kubeconfig needs secret KUBECONFIG",
        "gh secret set --env dev KUBECONFIG < FILE",
    ),
    "environment open to any branch": (
        environments(*(environment(n, (REVIEWERS,), MAIN_ONLY if n != "production" else None) for n in ALL)),
        "missing  environment production  any branch may deploy to it",
        f"deployment branches: main only: {SETTINGS}/environments",
    ),
}


def columns(table: str) -> str:
    """Without the padding, which depends on the widest line."""
    return re.sub(r"  +", "  ", table)


@pytest.fixture(scope="module")
def on_github(shared_fork: Fork) -> Fork:
    """Where nothing is trained, so that no model is rehearsed each time."""
    shared_fork.git("remote", "add", "origin", f"https://github.com/{github.REPOSITORY}.git")
    venv, lock = shared_fork.root / ".venv", shared_fork.root / "requirements/base.txt"
    venv.unlink()
    venv.mkdir()
    (venv / "bin").symlink_to(ROOT / ".venv/bin")
    (venv / "synced").write_text(f"base {sha256(lock)}")
    return shared_fork


@pytest.fixture
def gh(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    gh = GitHub(tmp_path / "github")
    monkeypatch.setenv("PATH", gh.path)
    yield gh
    assert {method for method, _, _ in gh.calls()} <= {"GET"}  # doctor reads


@pytest.mark.parametrize("state", PRESENT | OFF)
def test_says_what_is_there_and_what_is_off(on_github: Fork, gh: GitHub, state: str) -> None:
    answers, line = (PRESENT | OFF)[state]
    gh.answer(answers)
    result = on_github.run("doctor")
    assert line in columns(result.out)
    assert result.code == 0, result.err


@pytest.mark.parametrize("state", MISSING)
def test_says_what_is_missing_and_how_to_mend_it(on_github: Fork, gh: GitHub, state: str) -> None:
    answers, line, remedy = MISSING[state]
    gh.answer(answers)
    result = on_github.run("doctor")
    assert line in columns(result.out)
    subject = re.split(r"  +", line)[1]
    assert result.err.endswith(f"error: missing: {subject}\n  next: {remedy}\n")
    assert result.code == 1


def test_says_everything_at_once(on_github: Fork, gh: GitHub) -> None:
    answers: dict[str, Any] = {}
    for state in ("Actions off", "no pull requests by Actions", "open branch", "secret"):
        answers |= MISSING[state][0]
    gh.answer(answers)
    result = on_github.run("doctor")
    assert "error: missing: Actions, pull requests, branch, environment dev\n  next: allow Actions" in result.err
    assert len(result.err.partition("  next: ")[2].splitlines()) == 4


def test_without_gh_the_offline_parts_are_there(on_github: Fork, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = on_github.run("doctor")
    assert result.code == 0, result.err
    assert "off  GitHub  gh is not installed: Actions, environments and variables are not looked at" in columns(
        result.out
    )
    assert "ok  image  ghcr.io/octo-org/digits\n" in columns(result.out)
    assert "off  OIDC subject  repo:Octo-Org@OWNER_ID/Digits@REPOSITORY_ID:environment:ENV" in columns(result.out)


def test_another_host_than_github_is_not_asked(on_github: Fork, gh: GitHub) -> None:
    on_github.git("remote", "set-url", "origin", "https://git.example.com/octo/digits.git")
    try:
        result = on_github.run("doctor")
    finally:
        on_github.git("remote", "set-url", "origin", f"https://github.com/{github.REPOSITORY}.git")
    assert result.code == 0
    assert "the remote origin is not on GitHub" in result.out
    assert gh.calls() == []
    assert os.path.exists(gh.folder)


def test_an_overlay_that_asks_for_a_gpu_needs_a_server_that_uses_one(on_github: Fork, gh: GitHub) -> None:
    on_github.edit("k8s/overlays/staging/kustomization.yaml", "components: []", "components: [../../components/gpu]")
    try:
        missing = on_github.run("doctor")
        on_github.edit("serving/Dockerfile", "2.20.0\n\n", "2.20.0-gpu\n\n")
        there = on_github.run("doctor")
    finally:
        on_github.git("checkout", "-q", "k8s", "serving")
    said = "missing  GPU  k8s/overlays/staging asks for a GPU, and serving/Dockerfile names a server that uses none"
    assert said in columns(missing.out) and missing.code == 1
    assert there.code == 0, there.err
