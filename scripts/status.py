"""What ENV should serve, what runs there, and what it answers; exit 1 on any difference"""

import argparse
import shlex
from typing import Any

from scripts.environments import lookup, state
from scripts.environments.target import Environment
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    console.add_json(parser)


def run(environment: str, json: str | None) -> int:
    target = lookup.reachable(environment)
    if not target:
        console.write_json(json, state.unknown(environment, configured=False))
        return 0
    try:
        status = state.read(target)
    except YourTurn as error:  # without an answer there is no agreement
        console.write_json(json, state.unknown(environment, configured=True, problems=[error.problem]))
        raise
    if console.write_json(json, status):
        _print(status)
    if status["problems"]:
        raise YourTurn(f"{environment} is not as its ledger says", _remedy(target))
    return 0


def _remedy(target: Environment) -> str:
    """A deployment, but for a rollback that was cut off: a deployment would bring back what it leaves."""
    if (begun := target.interrupted()) and begun.action == "rollback":
        return f"./pipeline rollback {target.name} --reason {shlex.quote(begun.reason)}"
    return "./pipeline up" if target.name == "local" else f"./pipeline deploy {target.name}"


def _print(status: dict[str, Any]) -> None:
    row = [status["environment"], *(status[key] or "–" for key in ("ledger", "runs", "answers"))]
    console.table(["environment", "ledger", "runs", "answers"], [row])
    for problem in status["problems"]:
        console.tell(f"  ! {problem}")
