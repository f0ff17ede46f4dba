"""The deployments of ENV, newest first"""

import argparse
from pathlib import Path

from scripts.environments import lookup
from scripts.ledger.entries import Entry
from scripts.workspace import console, files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there as well, oldest first")


def run(environment: str, json: Path | None) -> int:
    entries = lookup.find(environment).history()
    if json:
        files.write_json(json, [entry.to_dict() for entry in entries])
    if entries:
        console.table(["time (UTC)", "action", "release", "outcome", "reason"], map(_row, reversed(_settled(entries))))
    else:
        console.say(f"nothing was ever deployed to {environment}; next: {_next(environment)}")
    return 0


def _next(environment: str) -> str:
    return f"./pipeline {'deploy' if environment == 'local' else 'promote'} {environment}"


def _settled(entries: list[Entry]) -> list[Entry]:
    """Without the starts that came to an end; one that did not was interrupted."""
    following = [*entries[1:], None]
    return [
        entry
        for entry, after in zip(entries, following, strict=True)
        if entry.outcome != "started" or not _ends(entry, after)
    ]


def _ends(entry: Entry, after: Entry | None) -> bool:
    return after is not None and after.release == entry.release and after.outcome in ("serving", "failed")


def _row(entry: Entry) -> list[str]:
    outcome = "interrupted" if entry.outcome == "started" else entry.outcome
    return [entry.time.removesuffix("+00:00"), entry.action, entry.release, outcome, entry.reason]
