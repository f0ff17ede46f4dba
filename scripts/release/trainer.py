"""The image that trains: the locked environment, and on top of it this checkout.

The environment is built by an engine, once for each state of the lock. The checkout is a thin layer that is put on top in the registry
itself, without an engine: what trains is what stands in the working tree.
"""

import json
from typing import Any

from scripts.release import engine, environment, images, registry
from scripts.release.oci import CONFIG, MANIFEST
from scripts.release.registry import Repository, Text
from scripts.release.volumes import LAYER, Tar, entry
from scripts.workspace import checkout, console
from scripts.workspace.errors import YourTurn

CHECKOUT = ["model", "scripts", "serving", "requirements", "pyproject.toml", "pipeline"]  # all that training reads
PLACE = "checkout"
DOCKERS = "application/vnd.docker.image.rootfs.diff.tar"  # Docker's own name for a layer


def repository() -> str:
    """REGISTRY/NAME-training, beside the releases: none can come from there. Raises YourTurn where no registry is known."""
    if "/" not in (name := images.name()):
        problem = "a training elsewhere needs a registry: there is no setting image, and no remote origin on GitHub"
        raise YourTurn(problem, 'set image = "REGISTRY/NAME" in [tool.pipeline] of pyproject.toml')
    return f"{name}-training"


def push(architecture: str) -> str:
    """Pushes the image for nodes of `architecture`; what is there is not pushed again. Returns NAME@DIGEST."""
    place, layer = Repository(repository()), _checkout()
    base = _pushed_environment(place, architecture)
    config = json.loads(place.text(base["config"]["digest"]))
    if (there := config["architecture"]) != architecture:
        problem = (
            f"{place.name}:{_tag(architecture)} is for {there}, and a training is wanted on nodes of {architecture}"
        )
        raise YourTurn(problem, "remove it there: it is built anew; see that PYTHON_IMAGE, if set, is for those nodes")
    config["rootfs"]["diff_ids"].append(layer.digest)
    config.pop("history", None)  # it would have to say how the checkout came there
    blob = Text(json.dumps(config, sort_keys=True).encode())
    for part in (blob, layer):
        place.push(part)
    layers = [*map(_as_oci, base["layers"]), registry.descriptor(LAYER, layer)]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": registry.descriptor(CONFIG, blob),
        "layers": layers,
    }
    described, _ = place.push_manifest(document)
    return f"{place.name}@{described['digest']}"


def _pushed_environment(place: Repository, architecture: str) -> dict[str, Any]:
    """The manifest of the locked environment's image, which is built and pushed unless the registry has it."""
    local, tag = environment.image(architecture), _tag(architecture)
    if not place.has(tag):
        console.say(f"  {place.name}:{tag}: built and pushed once for this lock, in minutes")
        if not engine.find(local):
            environment.build(architecture)
        with engine.explained(f"{local} cannot be tagged"):
            engine.client().images.get(local).tag(place.name, tag)
        engine.push(place.name, tag, lambda line: None)
    document, _ = place.manifest(tag)
    for one in document.get("manifests", []):  # an engine with a containerd store pushes an index
        if one.get("platform", {}).get("architecture") == architecture:
            return place.manifest(one["digest"])[0]
    return document


def _tag(architecture: str) -> str:
    return environment.image(architecture).replace(":", "-")


def _as_oci(layer: dict[str, Any]) -> dict[str, Any]:
    kind = layer["mediaType"].replace(f"{DOCKERS}.", f"{LAYER}+")
    return {"mediaType": kind, "digest": layer["digest"], "size": layer["size"]}


def _checkout() -> Tar:
    """The files that git does not ignore: the same make the same layer, whenever, and whatever else is in the repository."""
    found = {str(path): path.resolve() for path in checkout.files(*CHECKOUT)}
    return Tar([(entry(f"{PLACE}/{name}", 0, path), path) for name, path in found.items()])
