"""The LiteRT files of a release in the registry: each an OCI artifact of its own that refers to the release's image.

`oras pull NAME@DIGEST` fetches one; `oras discover` on the image's digest lists them.
"""

from typing import Any

from scripts.release import artifacts, registry
from scripts.release.releases import Release

ARTIFACT = "application/vnd.pipeline.litert.v1"  # no registered type fits
LAYER = "application/vnd.pipeline.litert.v1.flatbuffer"


def push(release: Release, name: str, image: str) -> tuple[list[dict[str, str]], int]:
    """Pushes each file that is not there. Returns their places, in the form of release.json, and how many were pushed.

    `image` is the digest of the release's image in the repository `name`.
    """
    repository = registry.Repository(name)
    _, subject = repository.manifest(image)
    noted, count = [], 0
    for file in release.document["edge"]:
        blob = registry.File(release.folder / file["file"])
        repository.push(blob)
        layer = registry.descriptor(LAYER, blob, **{registry.TITLE: file["file"].rpartition("/")[2]})
        described, put = artifacts.put(repository, ARTIFACT, [layer], **_belonging(release, subject))
        noted.append({"file": file["file"], "name": name, "digest": described["digest"]})
        count += put
    return noted, count


def _belonging(release: Release, subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": subject,
        "annotations": {
            "org.opencontainers.image.created": release.document["created"],
            "org.opencontainers.image.version": release.label,
            "pipeline.release": release.id,
        },
    }
