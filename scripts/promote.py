"""Writes a release into the overlay of ENV: the image's digest and release.json, as one commit

The release is that of the environment before ENV in the order of pyproject.toml, or of --from; --release takes any that a ledger knows. The
first environment takes the candidate that `push` has brought to the registry. Nothing is built again, and no cluster is asked: `deploy`
does that. With --publish the commit is made on top of origin's branch, and pushed there or proposed as a pull request, as the settings say.
"""

import argparse

from scripts.ledger import blocks, door, entries, overlays, promotion
from scripts.ledger.entries import Entry
from scripts.release import releases
from scripts.release.releases import Release
from scripts.workspace import console, git, settings
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", nargs="?", help="a folder of k8s/overlays")
    parser.add_argument("--after", metavar="ENV", help="in place of ENV: the environment that follows this one, if any")
    parser.add_argument(
        "--from", dest="source", metavar="ENV", help="the environment whose release it is, or `candidate`"
    )
    parser.add_argument("--release", metavar="RELEASE", help="its name or version, as history shows them")
    parser.add_argument("--reason", default="", help="why; a release that was rolled back there needs one")
    parser.add_argument("--override", metavar="REASON", default="", help="while ENV is closed: why all the same")
    parser.add_argument("--publish", action="store_true", help="to origin, as a push or as a pull request")
    parser.add_argument("--dispatch", action="store_true", help="and start the workflow that deploys what was pushed")


def run(
    environment: str | None,
    after: str | None,
    source: str | None,
    release: str | None,
    reason: str,
    override: str,
    publish: bool,
    dispatch: bool,
) -> int:
    names = overlays.names()
    if after:
        overlays.check(after)
        environment = next(iter(names[names.index(after) + 1 :]), None)
        if not environment:
            console.say(f"  promote    {after} is the last environment: nothing follows it")
            return 0
    if not environment:
        raise YourTurn("promote needs an environment", f"./pipeline promote {overlays.first()}")
    overlays.check(environment)
    place = names.index(environment)
    origin = source or after or (names[place - 1] if place else "candidate")
    chosen = overlays.Overlay(environment).find(release) if release else _source(origin, names)
    blocks.refuse(chosen, environment)
    by, closed = settings.read().by(environment), door.closed(environment)
    if after and closed and by == "commit":
        console.say(f"  skipped    {closed}; then ./pipeline promote {environment}")
        return 0
    if not (after and by == "pull-request"):  # a proposal may be made during a freeze: its check says so
        door.refuse(environment, "promote", override)
    candidate = publish and origin == "candidate" and not release
    entry = Entry(
        time=entries.now(),
        action="promote",
        release=chosen.label,
        outcome="promoted",
        reason=reason,
        override=override if closed else "",
        push=git.text("rev-parse", "HEAD") if candidate else "",
    )
    if publish:
        promotion.publish(environment, chosen, entry, by, dispatch, candidate)
    elif not promotion.was_rolled_back(environment, chosen, reason):
        promotion.commit(environment, chosen, entry)
    return 0


def _source(name: str, names: list[str]) -> Release:
    if name == "candidate":
        release = releases.read()
    else:
        overlays.check(name)
        release = overlays.Overlay(name).release()
    if not release:
        raise YourTurn(f"{name} has no release to promote", f"./pipeline promote {name}, or --from candidate")
    release.image  # noqa: B018  (raises where no registry has it)
    return release
