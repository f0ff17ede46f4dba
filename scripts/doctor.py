"""Looks at this machine, the settings, the models and the fork, and says everything that is missing, each with its remedy

`gh` reads the state of the fork, where it is installed and logged in. A line with – (off, in a pipe) is no defect.
"""

import argparse
import sys
from collections.abc import Iterator

from scripts.checks import github, machine
from scripts.checks.finding import Check, Finding
from scripts.training import models
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)


def run(model: list[str] | None) -> int:
    checks = machine.checks(model) | {"GitHub": github.github}
    findings = [finding for name, check in checks.items() for finding in _findings(name, check)]
    marks = {"ok": "✓", "missing": "✗", "off": "–"} if sys.stdout.isatty() else {}
    console.table(["", "what", "found"], [[marks.get(f.state, f.state), f.subject, f.text] for f in findings])
    missing = [finding for finding in findings if finding.state == "missing"]
    if missing:
        raise YourTurn(
            f"missing: {', '.join(f.subject for f in missing)}", "\n        ".join(f.remedy for f in missing)
        )
    return 0


def _findings(name: str, check: Check) -> Iterator[Finding]:
    """What a check finds. A check that fails is a finding too, and the others still run."""
    try:
        yield from check()
    except YourTurn as error:
        yield Finding(name, "missing", error.problem, error.remedy)
