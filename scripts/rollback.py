"""Puts an earlier release back in ENV: the one that served before, or --to any that ever did

The release comes back with everything that decides its answers. The manifests around it (a network policy, the number of pods) stay
today's, unless --with-manifests is given.
"""

import argparse

from scripts.environments import delivery, lookup, returning
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--to", metavar="RELEASE", help="its name or version, as history shows them")
    parser.add_argument(
        "--seen",
        metavar="COMMIT",
        default="",
        help="without --to: only while the ledger says the release of that commit",
    )
    parser.add_argument("--reason", default="", help="why, for whoever reads the history")
    parser.add_argument(
        "--with-manifests", action="store_true", help="also the overlay as it was when that release served last"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="also to one that never served there, that is blocked, or whose image seems lost",
    )


def run(environment: str, to: str | None, seen: str, reason: str, with_manifests: bool, force: bool) -> int:
    if not reason.strip():
        raise YourTurn(
            "a rollback needs a reason: whoever reads the history will ask",
            f'./pipeline rollback {environment} --reason "…"',
        )
    target = lookup.reachable(environment)
    if not target:
        return 0
    if to and not force:
        returning.refuse_blocked(target, to)
    with target.exclusively("rollback"):
        chosen = returning.target_of_rollback(target, to, force, with_manifests, seen)
        delivery.deliver(target, chosen, "rollback", reason)
    return 0
