"""Puts into the ledger that RELEASE must go nowhere any more: promote, deploy and rollback refuse it from then on

It changes no cluster: a release that serves goes on serving, and the verb says where.
"""

import argparse

from scripts.ledger import blocks, overlays
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE", help="its name or version, as history shows them")
    parser.add_argument("--reason", default="", help="why, for whoever meets the refusal")
    parser.add_argument(
        "--publish", action="store_true", help="to origin, as a push; where it takes none, as a request"
    )


def run(release: str, reason: str, publish: bool) -> int:
    if not reason.strip():
        raise YourTurn("a block needs a reason: whoever meets it will ask", f'./pipeline block {release} --reason "…"')
    found = overlays.Overlay(overlays.first()).find(release)
    words = " ".join(reason.split())
    if not blocks.change(f"block {found.label}\n\nReason: {words}", lambda now: now | {found.name: words}, publish):
        console.say(f"  block      release {found.name} is blocked already, for that reason")
    for name in (served := blocks.serving(found)):
        console.tell(
            f"release {found.name} still serves in {name}; next: ./pipeline rollback {name} --reason {words!r}"
        )
    if not served:
        console.tell(f"release {found.name} is blocked, and serves nowhere")
    return 0
