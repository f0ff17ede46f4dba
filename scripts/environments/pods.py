"""The pods of an environment: what they were told to run, what their nodes say that they run, and whether an image can still be had."""

from typing import Any

from scripts.ledger.kustomization import NAME
from scripts.release.registry import Repository
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn

Pod = dict[str, Any]


def image(spec: dict[str, Any]) -> str:
    return next((c["image"] for c in spec["containers"] if c["name"] == NAME), "")


def digest(reference: str) -> str:
    """What decides: a mirror's name in front of it, which an admission webhook may have written, makes it no other image."""
    return reference.rpartition("@")[2]


def serves_or_will(pod: Pod) -> bool:
    """One that is on its way out answers nobody new."""
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"


def runs(pod: Pod, reference: str) -> bool:
    """Whether it was told to run `reference`, and the kubelet says that it does (an image loaded by hand has no repository digest)."""
    repository, _, found = _status(pod).get("imageID", "").rpartition("@")
    return digest(image(pod["spec"])) == digest(reference) and (not repository or found == digest(reference))


def lost(release: Release, present: list[Pod]) -> str | None:
    """Which image of `release` neither its registry has nor a pod of these runs; None where that is not known."""
    here = {digest(value) for pod in present for value in _references(pod)}
    for name, wanted in release.images.values():
        try:
            if wanted not in here and not Repository(name).has(wanted):
                return f"its image {name}@{wanted} is not in the registry any more, and no pod here runs it"
        except YourTurn:
            continue  # the nodes may be let in where this computer is not
    return None


def _references(pod: Pod) -> list[str]:
    """Of images that its node has."""
    if not _status(pod).get("containerID"):
        return []
    volumes = [v["image"]["reference"] for v in pod["spec"].get("volumes", []) if "image" in v]
    return [image(pod["spec"]), _status(pod).get("imageID", ""), *volumes]


def _status(pod: Pod) -> dict[str, Any]:
    return next((s for s in pod["status"].get("containerStatuses", []) if s["name"] == NAME), {})
