"""Opens a pull request with the data of build/refresh.patch, on top of what origin has now, or brings the one before up to date"""

import argparse
import datetime
from pathlib import Path

from scripts import _console, _git, _overlay, _pull_request, _remote, report
from scripts._errors import YourTurn
from scripts.refresh import PATCH

BRANCH = "retrain"
VERDICT = "trained on this data in the run that proposes it, and all gates passed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patch", nargs="?", type=Path, default=PATCH, metavar="FILE", help=f"default: {PATCH}")


def run(patch: Path) -> int:
    if not patch.exists():
        raise YourTurn(f"there is no {patch}", "./pipeline refresh")
    if not patch.read_bytes():
        _console.say("  propose    nothing changed")
        return 0
    here, text = patch.absolute(), report.FILE.read_text() if report.FILE.exists() else ""
    branch = _remote.branch()
    with _remote.on_top_of(_remote.fetch(branch)):
        _git.git("apply", "--index", str(here), remedy="the data has changed meanwhile: ./pipeline refresh")
        title = f"The data of {datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        _git.git(*_overlay.identity(), "commit", "--quiet", "--no-verify", "-m", f"{title}\n\nBrought by refresh().")
        _pull_request.propose(
            BRANCH, branch, title, f"New data, and no other change. {VERDICT.capitalize()}.\n\n{text}", VERDICT
        )
    return 0
