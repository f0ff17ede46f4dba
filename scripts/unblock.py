"""Takes a block back: RELEASE may be promoted, deployed and rolled back to again"""

import argparse

from scripts.ledger import blocks
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", metavar="RELEASE", help="the name of one that is blocked")
    parser.add_argument("--reason", default="", help="why it is good after all")
    parser.add_argument(
        "--publish", action="store_true", help="to origin, as a push; where it takes none, as a request"
    )


def run(release: str, reason: str, publish: bool) -> int:
    if not reason.strip():
        raise YourTurn("taking a block back needs a reason", f'./pipeline unblock {release} --reason "…"')
    name = release.rpartition("-")[2][:12]

    def without(now: blocks.Blocks) -> blocks.Blocks:
        settings.refuse_unknown("blocked release", name, list(now) or ["none"])
        return {other: why for other, why in now.items() if other != name}

    blocks.change(f"unblock {name}\n\nReason: {' '.join(reason.split())}", without, publish)
    console.tell(f"release {name} is free again")
    return 0
