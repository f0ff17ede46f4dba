"""The whole ledger for a reader: each environment, what waits for it, what was done there, and the releases with their metrics.

Git alone is asked, at HEAD; the branches of proposals and verifications are those that this clone has fetched.
"""

import contextlib
import json
from typing import Any

from scripts.ledger import blocks, door, entries, overlays, promotion, stays, verified
from scripts.ledger.entries import Entry
from scripts.ledger.overlays import Overlay
from scripts.ledger.verified import REMOTE
from scripts.release import releases
from scripts.release.releases import Release
from scripts.workspace import git, remote
from scripts.workspace.errors import YourTurn


def read() -> dict[str, Any]:
    """Environments in the order of promotion with their entries, oldest first; and releases, each once, in the order of their versions."""
    git.refuse_shallow("what each environment served")
    histories = {name: Overlay(name).history() for name in overlays.names()}
    return {
        "made": entries.now(),
        "commit": git.text("rev-parse", "HEAD"),
        "source": remote.source(),
        "environments": [_environment(name, histories) for name in histories],
        "releases": _releases(histories),
        "blocked": blocks.read(),
    }


def _environment(name: str, histories: dict[str, list[Entry]]) -> dict[str, Any]:
    release, history, order = Overlay(name).release(), histories[name], list(histories)
    following = {after: histories[after] for after in order[order.index(name) + 1 :][:1]}
    stay = next(iter(reversed(stays.of(history))), None) if release else None
    return {
        "name": name,
        "serves": release.label if release else None,
        "since": stay.act.to_dict() if stay else None,
        "verified": verified.of(stay, name, following) if stay else None,
        "closed": door.closed(name),
        "waits": _proposal(name, release),
        "entries": [entry.to_dict() for entry in history],
    }


def _proposal(name: str, release: Release | None) -> dict[str, Any] | None:
    """The proposed promotion that is not merged; whether its pull request is still open, git does not know."""
    branch = f"{promotion.BRANCH}{name}"
    there = f"{REMOTE}{branch}"
    if not git.exists(there) or git.precedes(there, "HEAD"):
        return None
    proposed = Overlay(name).release(there)
    if not proposed or (release and proposed.label == release.label):
        return None
    return {"release": proposed.label, "branch": branch, "time": git.text("log", "-1", "--format=%cI", there)}


def _releases(histories: dict[str, list[Entry]]) -> list[dict[str, Any]]:
    """release.json of every release that some environment had; what cannot be read is left out."""
    places = {
        e.release: f"{e.commit}:{overlays.FOLDER / name}/release.json" for name, h in histories.items() for e in h
    }
    documents = filter(None, git.contents(list(places.values())))
    found = [document for text in documents if (document := _parsed(text))]
    return sorted(found, key=lambda document: document["version"])


def _parsed(text: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, YourTurn):
        document = json.loads(text)
        releases.validate(document, "release.json")
        return document
    return None
