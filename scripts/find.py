"""Looks for a release of this very code; found, it is build/release/release.json, and nothing need be trained

Only one that a ledger knows, that the registry still has under its hash, and that is attested where that is wanted: what was cut off
before that is made again.
"""

from scripts import (
    _attestation,
    _console,
    _engine,
    _environments,
    _files,
    _github,
    _image,
    _overlay,
    _release,
    _remote,
    _settings,
)
from scripts._errors import YourTurn
from scripts._release import Release


def run() -> int:
    identity = _release.identity(_settings.read().models)
    with _console.stage("find") as stage:
        release, why_not = _find(identity)
        stage.result = f"release {identity[:12]} {'is in the registry' if release else why_not}"
    if release:
        folder = _release.CANDIDATE.with_name("found") / release.label
        _files.write_json(folder / "release.json", release.document)
        _files.link(_release.CANDIDATE, folder)
        _github.summary(f"Release `{release.label}` is in the registry already: nothing is trained or built again.")
    _github.output(known=str(release is not None).lower(), attest=str(_says_wanted()).lower())
    return 0


def _says_wanted() -> bool:
    """Whether what is built in the place of an unknown release gets an attestation."""
    wanted = _attestation.wanted()
    if not wanted:
        _console.say(f"  skipped    attestations: {_attestation.why_not()}")
        _github.annotate("notice", _attestation.why_not())
    return wanted


def _find(identity: str) -> tuple[Release | None, str]:
    name = _image.name()
    if "/" not in name:
        return None, "is looked for nowhere: there is no registry"
    digest, problem = _digest(f"{name}:{identity[:12]}")
    if not digest:
        return None, problem
    release = _in_ledger(identity)
    if not release or release.image != (name, digest):
        return None, "is in the registry, but as that in no ledger"
    try:
        _attestation.check(release)
    except YourTurn as error:
        return None, f"is in the registry, but: {error.problem}"
    return release, ""


def _digest(reference: str) -> tuple[str | None, str]:
    """A registry that does not let us in may still take a push, and will then say why not: here it knows nothing."""
    try:
        with _engine.explained(f"{reference} cannot be asked for"):
            return _engine.digest_in_registry(reference), "is not in the registry"
    except YourTurn as error:
        return None, f"is not known: {error.problem}"


def _in_ledger(identity: str) -> Release | None:
    """Origin's may be ahead of the push that is at work here."""
    try:
        origin = [_remote.fetch(_remote.branch())]
    except YourTurn:  # a clone of nothing
        origin = []
    try:
        return _overlay.Overlay(_environments.names()[1]).find(identity, "HEAD", *origin)
    except YourTurn:
        return None
