"""What `deploy ENV` would change in the cluster; or, with --against, what changed in its manifests since a git revision

--against needs no cluster. Exit 0 whether or not there is a difference.
"""

import argparse

from scripts.environments import lookup
from scripts.ledger import overlays, rendering
from scripts.workspace import console, git
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_overlay(parser)
    parser.add_argument("--against", metavar="REVISION", help="a commit, branch or tag, in place of the cluster")


def run(environment: str, against: str | None) -> int:
    overlays.check(environment)
    if against:
        if not git.exists(against):
            raise YourTurn(f"this clone has no revision {against!r}", "git fetch, or name another one")
        lines = rendering.between(*(rendering.render(environment, revision, None) for revision in (against, "HEAD")))
    else:
        target = lookup.reachable(environment)
        if not target:
            return 0
        lines = target.drift()
    for line in lines:
        console.tell(line)
    if not lines:
        console.say(f"  diff       {environment}: no difference")
    return 0
