"""One issue says which environments are not as their ledger says; it is closed when all are

FOLDER holds what `./pipeline status ENV --json FOLDER/ENV.json` wrote of each. An environment without such a file could not be checked,
which is a difference too.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from scripts.github import sticky
from scripts.ledger import overlays
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

KIND = "drift"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=console.path, metavar="FOLDER", help="what `status --json` wrote: ENV.json each")


def run(folder: Path) -> int:
    found = {name: _read(folder / f"{name}.json", name) for name in overlays.released()}
    looked_at = {name: status for name, status in found.items() if status["configured"]}
    for name in found.keys() - looked_at.keys():
        console.say(f"  skipped    {name}: no cluster is configured")
    drifted = {name: status["problems"] for name, status in looked_at.items() if status["problems"]}
    _say(drifted, sorted(looked_at))
    return 0


def _read(file: Path, environment: str) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return {"configured": True, "problems": [f"the status of {environment} could not be asked: see the run"]}
    except ValueError as error:
        raise YourTurn(f"{file} is corrupt: {error}", f"./pipeline status {environment} --json {file}") from None


def _say(drifted: dict[str, list[str]], looked_at: list[str]) -> None:
    """Opens, updates or closes the issue; if no environment could be checked, the issue stays as it is."""
    if drifted:
        text = "\n".join(line for name, problems in drifted.items() for line in _section(name, problems))
        address = sticky.issue(KIND, f"Not as the ledger says: {', '.join(drifted)}", text)
        console.say(f"  drift      {', '.join(drifted)}: {address}")
    elif looked_at:
        closed = sticky.close_issue(KIND, f"{', '.join(looked_at)}: as the ledger says.")
        console.say(f"  drift      none in {', '.join(looked_at)}{f'; closed {closed}' if closed else ''}")


def _section(environment: str, problems: list[str]) -> list[str]:
    return [
        f"### {environment}",
        "",
        *[f"- {problem}" for problem in problems],
        "",
        f"What git says is put right by `./pipeline deploy {environment}`. A change that was meant belongs in a commit.",
        "",
    ]
