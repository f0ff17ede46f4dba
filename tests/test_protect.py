"""The ruleset of the main branch: applied once, put right where it differs, and refused with what to do where the plan has none."""

import json
import re
from typing import Any

import pytest

from tests.support import github
from tests.support.fork import ROOT, Fork
from tests.support.github import NOT_FOUND, PLAN, GitHub

RULESET = json.loads((ROOT / ".github/rulesets/main.json").read_text())
HEAD = {"id": 42, "name": "main", "source_type": "Repository", "target": "branch", "enforcement": "active"}
APP = {"actor_id": 1234, "actor_type": "Integration", "bypass_mode": "always"}


def as_github_has_it(**changes: Any) -> dict[str, Any]:
    """With the fields and defaults that GitHub adds, and its own order."""
    ruleset = HEAD | RULESET | {"node_id": "x", "current_user_can_bypass": "never", **changes}
    rules = json.loads(json.dumps(ruleset["rules"]))
    for rule in rules:
        if rule["type"] == "pull_request":
            rule["parameters"]["allowed_merge_methods"] = ["merge", "squash", "rebase"]
    return ruleset | {"rules": rules[::-1]}


@pytest.fixture(scope="module")
def on_github(shared_fork: Fork) -> Fork:
    shared_fork.git("remote", "add", "origin", f"git@github.com:{github.REPOSITORY}.git")
    return shared_fork


@pytest.fixture
def gh(tmp_path, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    gh = GitHub(tmp_path / "github")
    monkeypatch.setenv("PATH", gh.path)
    return gh


def written(gh: GitHub) -> list[tuple[str, str, Any]]:
    return [call for call in gh.calls() if call[0] != "GET"]


def test_the_first_time_it_is_made(on_github: Fork, gh: GitHub) -> None:
    gh.answer({"POST rulesets": HEAD})
    assert "the ruleset main is new: https://github.com/Octo-Org/Digits/settings/rules" in on_github.ok("protect").err
    assert written(gh) == [("POST", f"{github.ROOT}/rulesets", RULESET)]


def test_the_second_time_nothing_changes(on_github: Fork, gh: GitHub) -> None:
    gh.answer({"rulesets?per_page=100": [HEAD | {"name": "other"}, HEAD], "rulesets/42": as_github_has_it()})
    assert "nothing changed" in on_github.ok("protect").err
    assert written(gh) == []


@pytest.mark.parametrize(
    "changes",
    [{"enforcement": "disabled"}, {"rules": RULESET["rules"][:2]}, {"bypass_actors": [*RULESET["bypass_actors"], APP]}],
    ids=["switched off", "without its checks", "with another who may pass"],
)
def test_what_was_changed_by_hand_is_put_right(on_github: Fork, gh: GitHub, changes: dict[str, Any]) -> None:
    answers = {"rulesets?per_page=100": [HEAD], "rulesets/42": as_github_has_it(**changes), "PUT rulesets/42": HEAD}
    gh.answer(answers)
    assert "the ruleset main is changed" in on_github.ok("protect").err
    assert written(gh) == [("PUT", f"{github.ROOT}/rulesets/42", RULESET)]


def test_the_app_of_the_pipeline_may_pass(on_github: Fork, gh: GitHub) -> None:
    gh.answer(
        {"actions/variables/PIPELINE_APP_ID": {"name": "PIPELINE_APP_ID", "value": "1234"}, "POST rulesets": HEAD}
    )
    on_github.ok("protect")
    ((_, _, document),) = written(gh)
    assert document["bypass_actors"] == [*RULESET["bypass_actors"], APP]


def test_an_app_that_is_named_by_its_client_id(on_github: Fork, gh: GitHub) -> None:
    variable = {
        "actions/variables/PIPELINE_APP_ID": {"name": "PIPELINE_APP_ID", "value": "Iv23liABC"},
        "POST rulesets": HEAD,
    }
    installed = {"installations": [{"client_id": "Iv1", "app_id": 1}, {"client_id": "Iv23liABC", "app_id": 1234}]}
    gh.answer(variable | {"orgs/octo-org/installations?per_page=100": installed})
    on_github.ok("protect")
    ((_, _, document),) = written(gh)
    assert document["bypass_actors"] == [*RULESET["bypass_actors"], APP]
    gh.answer(variable)
    refused = on_github.run("protect")
    assert (refused.code, written(gh)) == (1, [])
    assert "PIPELINE_APP_ID is Iv23liABC, and which App that is can be seen by an administrator" in refused.err


REFUSED = {
    "plan": (
        {"rulesets?per_page=100": PLAN},
        "error: rulesets of a private repository need GitHub Pro, Team or Enterprise, and this plan has none\n"
        "  next: make the repository public, or change the plan; until then merge only what is green and reviewed\n",
    ),
    "not an administrator": (
        {"POST rulesets": NOT_FOUND},
        "error: GitHub refuses POST rulesets: Not Found (HTTP 404)\n"
        "  next: ask an administrator of the repository, or gh auth refresh --scopes repo\n",
    ),
    "a rule that GitHub does not know": (
        {"POST rulesets": (422, {"message": "Invalid rules: 'x'"})},
        "error: GitHub refuses POST rulesets: Invalid rules: 'x' (HTTP 422)\n  next: ",
    ),
    "not logged in": (
        {"rulesets?per_page=100": "not logged in"},
        "error: GitHub refuses GET rulesets?per_page=100: To get started with GitHub CLI, please run:",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_is_refused(on_github: Fork, gh: GitHub, why: str) -> None:
    answers, message = REFUSED[why]
    gh.answer(answers)
    result = on_github.run("protect")
    assert result.code == 1
    assert result.err.startswith(message)


def test_without_a_remote_on_github(on_github: Fork) -> None:
    on_github.git("remote", "rename", "origin", "elsewhere")
    try:
        result = on_github.run("protect")
    finally:
        on_github.git("remote", "rename", "elsewhere", "origin")
    assert result.code == 1
    assert result.err.startswith("error: this clone has no remote `origin` on GitHub\n  next: git remote add origin ")


def test_the_ruleset_names_a_check_that_runs_on_every_pull_request() -> None:
    (checks,) = [rule["parameters"] for rule in RULESET["rules"] if rule["type"] == "required_status_checks"]
    names = [check["context"] for check in checks["required_status_checks"]]
    assert names == ["ci"]
    workflow = ROOT / ".github/workflows/ci.yml"
    assert not workflow.exists() or re.search(r"^  ci:", workflow.read_text(), re.M)
