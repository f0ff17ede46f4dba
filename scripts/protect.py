"""Protects the main branch on GitHub by .github/rulesets/main.json: the check `ci`, a review, no force push; twice changes nothing

It uses `gh`, as an administrator of the repository. If the variable PIPELINE_APP_ID names a GitHub App, that App may bypass the rules: the
pipeline then commits its ledger directly, and otherwise by a pull request.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from scripts.github import fork, gh
from scripts.github.gh import Refused
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

FILE = Path(".github/rulesets/main.json")


def run() -> int:
    wanted = _wanted()
    try:
        here = _find(wanted["name"])
        if here and _is_same(here, wanted):
            console.say(f"  protect    the ruleset {wanted['name']} is in force as {FILE} says: nothing changed")
            return 0
        method, path = ("PUT", f"rulesets/{here['id']}") if here else ("POST", "rulesets")
        gh.api(method, path, wanted)
    except Refused as error:
        raise _explained(error) from error
    console.say(
        f"  protect    the ruleset {wanted['name']} is {'changed' if here else 'new'}: {gh.url('settings/rules')}"
    )
    return 0


def _wanted() -> dict[str, Any]:
    ruleset = json.loads(FILE.read_text())
    if app := _app():
        ruleset["bypass_actors"].append({"actor_id": app, "actor_type": "Integration", "bypass_mode": "always"})
    return ruleset


def _app() -> int | None:
    """The App's number, by which a ruleset names it; the variable may hold its client id."""
    try:
        name = gh.api("GET", "actions/variables/PIPELINE_APP_ID")["value"].strip()
    except Refused as error:
        if error.status != 404:
            raise _explained(error) from error
        return None
    return int(name) if name.isdecimal() else _number_of(name)


def _number_of(client: str) -> int:
    """The App's number by its client id; only the organization's administrators can read it."""
    owner = gh.repository().partition("/")[0].lower()
    with contextlib.suppress(Refused):
        installed = fork.get_anywhere(f"orgs/{owner}/installations?per_page=100")["installations"]
        for app in installed:
            if app.get("client_id") == client:
                return app["app_id"]
    problem = (
        f"PIPELINE_APP_ID is {client}, and which App that is can be seen by an administrator of an organization only"
    )
    raise YourTurn(
        problem, "gh variable set PIPELINE_APP_ID --body NUMBER, the App ID on the App's page: it is taken as well"
    )


def _find(name: str) -> dict[str, Any] | None:
    """The complete ruleset called `name`: GitHub's list has only its head."""
    for ruleset in gh.api("GET", "rulesets?per_page=100"):
        if ruleset["name"] == name and ruleset.get("source_type", "Repository") == "Repository":
            return gh.api("GET", f"rulesets/{ruleset['id']}")
    return None


def _is_same(here: Any, wanted: Any) -> bool:
    """Whether GitHub's ruleset has everything wanted; GitHub adds its own defaults, and keeps no order."""
    if isinstance(wanted, dict):
        return isinstance(here, dict) and all(key in here and _is_same(here[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        left = list(here) if isinstance(here, list) else []
        for item in wanted:
            match = next((other for other in left if _is_same(other, item)), None)
            if match is None:
                return False
            left.remove(match)
        return not left
    return here == wanted


def _explained(error: Refused) -> YourTurn:
    if fork.is_the_plan(error):
        problem = "rulesets of a private repository need GitHub Pro, Team or Enterprise, and this plan has none"
        return YourTurn(
            problem, "make the repository public, or change the plan; until then merge only what is green and reviewed"
        )
    if error.status in (403, 404):
        return YourTurn(error.problem, "ask an administrator of the repository, or gh auth refresh --scopes repo")
    return error
