"""Fails if one of the jobs before it did not succeed: the last job of a workflow, which a branch protection can name

GitHub counts a job that was skipped as passed, and skips a job whose predecessor failed; so this one always runs, and looks. JOBS is
Actions' own `needs` as JSON. A job may be skipped where its own condition says so: what it waits for is in JOBS too.
"""

import argparse
import json

from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", metavar="JOBS", help='\'{"lint": {"result": "success"}, …}\'')


def run(jobs: str) -> int:
    try:
        results = {name: job["result"] for name, job in json.loads(jobs).items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise YourTurn(f"{jobs[:80]!r} is not Actions' `needs` as JSON", "give it ${{ toJSON(needs) }}") from None
    console.table(["job", "result"], results.items())
    failed = [f"{name} ({result})" for name, result in results.items() if result not in ("success", "skipped")]
    if failed:
        raise YourTurn(f"not all jobs succeeded: {', '.join(failed)}", "look at their logs")
    return 0
