"""Puts trainings of a model beside each other: branch, metrics, and what was changed from one to the next

A training is kept once it is judged, in build/trainings/, whatever branch is checked out.
"""

import argparse
from typing import Any

from scripts.training import models, trainings
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

SHOWN = 20  # a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "which",
        nargs="*",
        metavar="TRAINING",
        help="a branch, a commit or a training's name, of each its last; else all",
    )
    console.add_json(parser, ", oldest first")


def run(model: list[str] | None, which: list[str], json: str | None) -> int:
    found = [record for module in models.chosen(model) for record in trainings.read(module)]
    chosen = [_last(found, name) for name in which] if which else found
    if not console.write_json(json, chosen):
        return 0
    if not chosen:
        raise YourTurn("no training was judged in this checkout yet", "./pipeline train && ./pipeline evaluate")
    for module in dict.fromkeys(record["module"] for record in chosen):
        _show([record for record in chosen if record["module"] == module])
    if any(record["dirty"] for record in chosen):
        console.say("*: with changes that no commit holds")
    return 0


def _last(found: list[dict[str, Any]], which: str) -> dict[str, Any]:
    for record in reversed(found):
        if which == record["branch"] or record["name"].startswith(which) or (record["commit"] or "").startswith(which):
            return record
    raise YourTurn(f"no training of {which!r} was judged in this checkout", "./pipeline compare, and choose one")


def _show(records: list[dict[str, Any]]) -> None:
    metrics = list(dict.fromkeys(name for record in records for name in record["metrics"]))[:6]  # what a line holds
    console.tell(records[0]["module"])
    shown = list(zip([None, *records], records, strict=False))[-SHOWN:]
    console.table(
        ["training", "branch", "gates", *metrics, "changed"], [_row(before, now, metrics) for before, now in shown]
    )


def _row(before: dict[str, Any] | None, now: dict[str, Any], metrics: list[str]) -> list[str]:
    values = [f"{value:.4g}" if (value := now["metrics"].get(name)) is not None else "" for name in metrics]
    changed = ", ".join(trainings.changes(before, now)) if before else ""
    return [
        now["name"],
        f"{now['branch'] or ''}{'*' * now['dirty']}",
        "passed" if now["passed"] else "refused",
        *values,
        changed,
    ]
