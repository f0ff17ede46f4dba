"""The pods of an environment: the image of their spec, the image that their nodes run, and whether an image is still available."""

from typing import Any

from scripts.ledger import shares
from scripts.ledger.kustomization import NAME
from scripts.release.registry import Repository
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn

Pod = dict[str, Any]


def image(spec: dict[str, Any]) -> str:
    return next((c["image"] for c in spec["containers"] if c["name"] == NAME), "")


def digest(reference: str) -> str:
    """The digest of an image. It alone identifies the image: an admission webhook may have put a mirror's name in front."""
    return reference.rpartition("@")[2]


def serves_or_will(pod: Pod) -> bool:
    """Whether the pod takes new requests, now or soon: one that is terminating does not."""
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"


def is_canary(pod: Pod) -> bool:
    return shares.LABEL in pod["metadata"].get("labels", {})


def restarts(pod: Pod) -> int:
    return _status(pod).get("restartCount", 0)


def runs(pod: Pod, reference: str) -> bool:
    """Whether the spec names `reference` and the kubelet reports it (an image loaded by hand has no repository digest)."""
    repository, _, found = _status(pod).get("imageID", "").rpartition("@")
    return digest(image(pod["spec"])) == digest(reference) and (not repository or found == digest(reference))


def lost(release: Release, present: list[Pod], mirror: str = "") -> str | None:
    """The image of `release` that is in no registry, in no mirror and on no pod of `present`; None if none is known to be lost."""
    here = {digest(value) for pod in present for value in _references(pod)}
    for name, wanted in release.images.values():
        places = [name, f"{mirror}/{name.partition('/')[2]}"] if mirror else [name]
        try:
            if wanted not in here and not any(Repository(place).has(wanted) for place in places):
                return f"its image {name}@{wanted} is not in the registry any more, and no pod here runs it"
        except YourTurn:
            continue  # the nodes may have access to the registry without this computer
    return None


def _references(pod: Pod) -> list[str]:
    """References of the images that the pod's node has."""
    if not _status(pod).get("containerID"):
        return []
    volumes = [v["image"]["reference"] for v in pod["spec"].get("volumes", []) if "image" in v]
    return [image(pod["spec"]), _status(pod).get("imageID", ""), *volumes]


def _status(pod: Pod) -> dict[str, Any]:
    return next((s for s in pod["status"].get("containerStatuses", []) if s["name"] == NAME), {})
