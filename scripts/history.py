"""The deployments of ENV, newest first"""

import argparse
import itertools

from scripts.environments import lookup
from scripts.ledger.entries import Entry
from scripts.workspace import console

SHOWN = 20  # a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--all", action="store_true", help=f"not only the last {SHOWN}")
    console.add_json(parser, ", all of them, oldest first")


def run(environment: str, all: bool, json: str | None) -> int:
    entries = lookup.find(environment).history()
    if not console.write_json(json, [entry.to_dict() for entry in entries]):
        return 0
    settled = _settled(entries)[::-1]
    shown = settled if all else settled[:SHOWN]
    if shown:
        console.table(["time (UTC)", "action", "release", "outcome", "reason"], map(_row, shown))
    else:
        console.say(f"nothing was ever deployed to {environment}; next: {_next(environment)}")
    if len(shown) < len(settled):
        console.say(f"the last {SHOWN} of {len(settled)}; next: ./pipeline history {environment} --all")
    return 0


def _next(environment: str) -> str:
    return f"./pipeline {'deploy' if environment == 'local' else 'promote'} {environment}"


def _settled(entries: list[Entry]) -> list[Entry]:
    """The entries without the starts that were finished; any other start was interrupted."""
    pairs = itertools.pairwise([*entries, None])
    return [entry for entry, after in pairs if entry and (entry.outcome != "started" or not _ends(entry, after))]


def _ends(entry: Entry, after: Entry | None) -> bool:
    return after is not None and after.release == entry.release and after.outcome in ("serving", "failed")


def _row(entry: Entry) -> list[str]:
    outcome = "interrupted" if entry.outcome == "started" else entry.outcome
    why = "; ".join(filter(None, (entry.reason, entry.override and f"while closed: {entry.override}")))
    return [entry.time.removesuffix("+00:00"), entry.action, entry.release, outcome, why]
