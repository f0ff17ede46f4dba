"""Looks for a release of this very code; found, it is build/release/release.json, and nothing need be trained

A release counts if a ledger names it, the registry still has it under its hash, and it is attested where that is wanted. An interrupted
release run is repeated.
"""

import argparse
import contextlib

from scripts.github import attestations
from scripts.ledger import overlays, promotion
from scripts.release import engine, identity, images, platforms, releases
from scripts.release.releases import Release
from scripts.workspace import actions, console, files, git, remote, settings
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--commit", default="", help="refuse one that main does not have, though somebody has asked for it"
    )


def run(commit: str) -> int:
    if commit and not git.precedes(commit, f"origin/{remote.branch()}"):
        raise YourTurn(f"{remote.branch()} has no commit {commit}, of which a release was asked for", "merge it first")
    wanted = identity.of_release(settings.read().models)
    with console.stage("find") as stage:
        release, why_not = _find(wanted)
        stage.result = f"release {wanted[:12]} {'is in the registry' if release else why_not}"
    if release:
        folder = releases.CANDIDATE.with_name("found") / release.label
        files.write_json(folder / "release.json", release.document)
        files.link(releases.CANDIDATE, folder)
        actions.summary(f"Release `{release.label}` is in the registry already: nothing is trained or built again.")
    actions.output(known=str(release is not None).lower(), attest=str(_says_wanted()).lower())
    return 0


def _says_wanted() -> bool:
    """Whether a newly built release gets an attestation."""
    wanted = attestations.wanted()
    if not wanted:
        console.say(f"  skipped    attestations: {attestations.why_not()}")
        actions.annotate("notice", attestations.why_not())
    return wanted


def _find(wanted: str) -> tuple[Release | None, str]:
    name = images.name()
    if "/" not in name:
        return None, "is looked for nowhere: there is no registry"
    digest, problem = _digest(f"{name}:{wanted[:12]}")
    if not digest:
        return None, problem
    release = _in_ledger(wanted)
    if not release or release.image != (name, digest):
        return None, "is in the registry, but as that in no ledger"
    if missing := set(platforms.named()) - set(release.architectures):
        return None, f"is in the registry, but not for {' and '.join(sorted(missing))}"
    try:
        attestations.check(release)
    except YourTurn as error:
        return None, f"is in the registry, but: {error.problem}"
    return release, ""


def _digest(reference: str) -> tuple[str | None, str]:
    """The digest of `reference`, or why it is unknown. A registry that refuses to answer is not an error here: it may still take a push."""
    try:
        with engine.explained(f"{reference} cannot be asked for"):
            return engine.digest_in_registry(reference), "is not in the registry"
    except YourTurn as error:
        return None, f"is not known: {error.problem}"


def _in_ledger(wanted: str) -> Release | None:
    """The release in any ledger. Origin's may be newer than this push; on a protected main, the ledger may still be a pull request."""
    first, known = overlays.first(), []
    for branch in (remote.branch(), f"{promotion.BRANCH}{first}"):
        with contextlib.suppress(YourTurn):  # no remote, or no proposal
            known.append(remote.fetch(branch))
    try:
        return overlays.Overlay(first).find(wanted, "HEAD", *known)
    except YourTurn:
        return None
