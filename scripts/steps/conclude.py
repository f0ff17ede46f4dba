"""Fails if one of the jobs before it did not succeed: the last job of a workflow, which a branch protection can name

GitHub counts a skipped job as passed, and skips a job whose predecessor failed; so this one always runs, and checks. JOBS is Actions' own
`needs` as JSON. A job may be skipped by its own condition: its predecessors are in JOBS too.
"""

import argparse
import json

from scripts.ledger import door, overlays
from scripts.steps import changed
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        metavar="REVISION",
        default="",
        help="fails, too, where what changed since goes to a closed environment",
    )
    parser.add_argument("jobs", metavar="JOBS", help='\'{"lint": {"result": "success"}, …}\'')


def run(jobs: str, since: str) -> int:
    try:
        results = {name: job["result"] for name, job in json.loads(jobs).items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise YourTurn(f"{jobs[:80]!r} is not Actions' `needs` as JSON", "give it ${{ toJSON(needs) }}") from None
    console.table(["job", "result"], results.items())
    failed = [f"{name} ({result})" for name, result in results.items() if result not in ("success", "skipped")]
    if failed:
        raise YourTurn(f"not all jobs succeeded: {', '.join(failed)}", "look at their logs")
    if shut := [words for name in _concerned(since) if (words := door.closed(name)) and not door.is_overridden(name)]:
        raise YourTurn(f"what this changes is refused now: {'; '.join(shut)}", "run this check again then")
    return 0


def _concerned(since: str) -> list[str]:
    """The environments with a release that render otherwise than at `since`; rendered only if some environment is closed."""
    names = [name for name in overlays.released() if door.closed(name)] if since else []
    return [name for name in names if changed.differs(name, since)]
