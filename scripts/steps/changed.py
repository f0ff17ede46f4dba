"""Which environments a push concerns: those with a release whose manifests render otherwise than at --since REVISION

ENV, if given, is the only one. The names go to standard output as JSON.
"""

import argparse
import json

from scripts.ledger import overlays, rendering
from scripts.workspace import actions, console, git
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", nargs="?", help="a folder of k8s/overlays")
    parser.add_argument("--since", metavar="REVISION", default="", help="what was there before the push")


def run(environment: str | None, since: str) -> int:
    names = overlays.names()
    if environment:
        overlays.check(environment)
        found = [environment]
    else:
        found = [name for name in names if overlays.Overlay(name).release() and differs(name, since)]
    console.say(f"  changed    {', '.join(found) or 'no environment'}")
    for name in found:
        _say_why(name)
    actions.output(environments=json.dumps(found))
    print(json.dumps(found))
    return 0


def _say_why(environment: str) -> None:
    """Says what the newest commit of the ledger did: a revert also deploys the release that it brings back."""
    if entries := overlays.Overlay(environment).history():
        last = entries[-1]
        text = f"{environment}: {last.action} to {last.release}{f': {last.reason}' if last.reason else ''}"
        console.say(f"  ledger     {text}")
        actions.summary(text)


def differs(environment: str, since: str) -> bool:
    if not since or not git.exists(since):
        return True  # the first push of a branch, or a history that was rewritten
    try:
        before = rendering.render(environment, since, None)
    except YourTurn:
        return True
    return bool(rendering.between(before, rendering.render(environment, "HEAD", None)))
