"""Opens a pull request with the data of build/refresh.patch, on top of what origin has now, or brings the one before up to date"""

import argparse
import datetime
from pathlib import Path

from scripts.github import pull_requests
from scripts.steps import REPORT
from scripts.steps.refresh import PATCH
from scripts.workspace import commits, console, git, remote
from scripts.workspace.errors import YourTurn

BRANCH = "retrain"
VERDICT = "trained on this data in the run that proposes it, and all gates passed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patch", nargs="?", type=console.path, default=PATCH, metavar="FILE", help=f"default: {PATCH}")


def run(patch: Path) -> int:
    if not patch.exists():
        raise YourTurn(f"there is no {patch}", "./pipeline refresh")
    if not patch.read_bytes():
        console.say("  propose    nothing changed")
        return 0
    text = REPORT.read_text() if REPORT.exists() else ""
    branch = remote.branch()
    base = remote.fetch(branch)
    with commits.index_of(base) as index:
        remedy = "the data has changed meanwhile: ./pipeline refresh"
        git.git("apply", "--cached", "--whitespace=nowarn", str(patch), index=index, remedy=remedy)
        tree = git.text("write-tree", index=index)
    title = f"The data of {datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    if commit := commits.commit(tree, base, f"{title}\n\nBrought by refresh()."):
        body = f"New data, and no other change. {VERDICT.capitalize()}.\n\n{text}"
        pull_requests.propose(commit, BRANCH, branch, title, body, VERDICT)
    return 0
