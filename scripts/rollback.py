"""Puts an earlier release back in ENV: the one that served before, or --to any that ever did"""

import argparse

from scripts.environments import delivery, lookup
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--to", metavar="RELEASE", help="its name or version, as history shows them")
    parser.add_argument("--reason", default="", help="why, for whoever reads the history")
    parser.add_argument("--force", action="store_true", help="also to a release that never served there")


def run(environment: str, to: str | None, reason: str, force: bool) -> int:
    if not reason.strip():
        raise YourTurn(
            "a rollback needs a reason: whoever reads the history will ask",
            f'./pipeline rollback {environment} --reason "…"',
        )
    target = lookup.reachable(environment)
    if not target:
        return 0
    with target.exclusively("rollback"):
        delivery.deliver(target, delivery.target_of_rollback(target, to, force), "rollback", reason)
    return 0
