"""One HTML page of the whole ledger: what serves where since when, what waits, what was done, and how the models did → build/board/

The page is index.html: a file of its own that needs no server, no script and no network.
"""

import argparse
import os
from pathlib import Path

from scripts.github import gh
from scripts.ledger import chronicle
from scripts.workspace import console, files, remote

PAGE = Path("build/board/index.html")
PUBLISHES = "board.yml"  # the workflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dispatch", action="store_true", help="in its place, start the workflow that publishes it")


def run(dispatch: bool) -> int:
    if dispatch:
        request = {"ref": remote.branch()}
        gh.api("POST", f"actions/workflows/{PUBLISHES}/dispatches", request, os.environ.get("DISPATCH_TOKEN"))
        return 0
    from scripts.reports import board  # the template library takes 0.1 s, and --help needs none

    page = board.page(chronicle.read())
    files.write(PAGE, page)
    console.tell(str(PAGE))
    console.say(f"  board      {len(page.encode()) / 1024:.0f} KiB; open it in any browser")
    return 0
