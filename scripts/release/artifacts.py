"""Files in a registry that are no image: an artifact in the form of ORAS, with a layer for each file, and its path as the title."""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from scripts.release import registry
from scripts.release.registry import TITLE, File, Repository, Text
from scripts.workspace.errors import YourTurn

LAYER = "application/octet-stream"


def put(
    repository: Repository, kind: str, layers: list[dict[str, Any]], tag: str | None = None, **further: Any
) -> tuple[dict[str, Any], bool]:
    """Puts the manifest of layers that the registry has. Returns its descriptor, and whether it was put."""
    empty = Text(registry.EMPTY)
    repository.push(empty)
    document = {
        "schemaVersion": 2,
        "mediaType": registry.MANIFEST,
        "artifactType": kind,
        "config": registry.descriptor("application/vnd.oci.empty.v1+json", empty),
        "layers": layers,
    }
    return repository.push_manifest(document | further, tag)


def push(repository: Repository, kind: str, files: Mapping[str, Path], tag: str) -> str:
    """Pushes those of `files` that are not there, and the artifact of all. Returns its digest."""
    layers = []
    for title, path in files.items():
        blob = File(path)
        repository.push(blob)
        layers.append(registry.descriptor(LAYER, blob, **{TITLE: title}))
    return put(repository, kind, layers, tag)[0]["digest"]


def pull(repository: Repository, reference: str, folder: Path) -> None:
    """Writes the files of the artifact with that tag or digest below `folder`. Raises YourTurn if one is not what its digest says."""
    document, _ = repository.manifest(reference)
    for layer in document["layers"]:
        title = layer["annotations"][TITLE]
        if PurePosixPath(title).is_absolute() or ".." in PurePosixPath(title).parts:
            raise YourTurn(
                f"{repository.name}@{reference} has the file {title!r}, outside of itself", "trust it no more"
            )
        (folder / title).parent.mkdir(parents=True, exist_ok=True)
        total = hashlib.sha256()
        with repository.blob(layer["digest"]) as blob, (folder / title).open("wb") as file:
            while chunk := blob.read(registry.CHUNK):
                total.update(chunk)
                file.write(chunk)
        if layer["digest"] != f"sha256:{total.hexdigest()}":
            raise YourTurn(f"{title} of {repository.name}@{reference} came otherwise than its digest says", "once more")
