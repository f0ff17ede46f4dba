"""What ENV should serve, what runs there, and what it answers; exit 1 on any difference"""

import argparse
from pathlib import Path

from scripts.environments import lookup, state
from scripts.workspace import console, files
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there as well")


def run(environment: str, json: Path | None) -> int:
    target = lookup.reachable(environment)
    if not target:
        _write(json, state.unknown(environment, configured=False))
        return 0
    try:
        status = state.read(target)
    except YourTurn as error:  # no answer is no agreement
        _write(json, state.unknown(environment, configured=True, problems=[error.problem]))
        raise
    _write(json, status)
    console.table(
        ["environment", "ledger", "runs", "answers"],
        [[status["environment"], *(status[k] or "–" for k in ("ledger", "runs", "answers"))]],
    )
    for problem in status["problems"]:
        console.say(f"  ! {problem}")
    if status["problems"]:
        remedy = "./pipeline up" if environment == "local" else f"./pipeline deploy {environment}"
        raise YourTurn(f"{environment} is not as its ledger says", remedy)
    return 0


def _write(file: Path | None, status: dict) -> None:
    if file:
        files.write_json(file, status)
