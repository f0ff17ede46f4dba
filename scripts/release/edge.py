"""The LiteRT files of a release in the registry: each an OCI artifact of its own that refers to the release's image.

`oras pull NAME@DIGEST` fetches one; `oras discover` on the image's digest lists them.
"""

from typing import Any

from scripts.release import registry
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
        blob, empty = registry.File(release.folder / file["file"]), registry.Text(registry.EMPTY)
        for part in (blob, empty):
            repository.push(part)
        described, put = repository.push_manifest(_manifest(release, file, blob, empty, subject))
        noted.append({"file": file["file"], "name": name, "digest": described["digest"]})
        count += put
    return noted, count


def _manifest(
    release: Release, file: dict[str, Any], blob: registry.Blob, empty: registry.Blob, subject: dict[str, Any]
) -> dict[str, Any]:
    title = file["file"].rpartition("/")[2]
    return {
        "schemaVersion": 2,
        "mediaType": registry.MANIFEST,
        "artifactType": ARTIFACT,
        "config": registry.descriptor("application/vnd.oci.empty.v1+json", empty),
        "layers": [registry.descriptor(LAYER, blob, **{registry.TITLE: title})],
        "subject": subject,
        "annotations": {
            "org.opencontainers.image.created": release.document["created"],
            "org.opencontainers.image.version": release.label,
            "pipeline.release": release.id,
        },
    }
