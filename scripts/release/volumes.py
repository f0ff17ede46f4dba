"""The models of a release as an OCI image of their own, which k8s/components/model-volume mounts at /models.

Each large file is a layer of its own, at a path named by its content: files that two releases share are pushed once, pulled once, and kept
once on a node. The SavedModel has a link in its place. No layer is held in memory or written to disk: it is a header and the file.
"""

import json
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from scripts.release import engine, images, platforms, registry
from scripts.release.oci import CONFIG
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn

LARGE = 4 * 2**20  # bytes: a file of this size or more is a layer of its own
LAYERS = 120  # of an image, at most: overlayfs on a node takes 127
LAYER = "application/vnd.oci.image.layer.v1.tar"  # not compressed: weights hardly shrink, and gigabytes of them take minutes


class Tar:
    """A tar archive as a blob; a file in it is read while it is sent."""

    def __init__(self, entries: list[tuple[tarfile.TarInfo, Path | bytes | None]]):
        self.parts = [(entry.tobuf(tarfile.GNU_FORMAT), entry.size, content) for entry, content in entries]
        self.digest = registry.digest(self)

    def __len__(self) -> int:
        return sum(len(header) + _padded(size) for header, size, _ in self.parts) + 1024

    def __iter__(self) -> Iterator[bytes]:
        for header, size, content in self.parts:
            yield header
            if isinstance(content, Path):
                yield from registry.chunks(content)
            elif content:
                yield content
            yield bytes(_padded(size) - size)
        yield bytes(1024)


def _padded(size: int) -> int:
    return -(-size // 512) * 512


def layers(release: Release) -> list[Tar]:
    """One layer of all small files, dated as the release, then a layer for each large file, undated: many releases may share it."""
    small, large = [], {}
    for name, content in images.content(release):
        if isinstance(content, Path) and content.stat().st_size >= LARGE:
            shard = f"shards/{_sha256(release, content)}"
            large[shard] = Tar([(entry(shard, 0, content), content)])
            small.append((_link(name, shard, release.version), None))
        else:
            small.append((entry(name, release.version, content), content))
    if len(large) >= LAYERS:
        problem = f"release {release.name} has {len(large)} files of more than {LARGE >> 20} MiB, and an image only {LAYERS} layers"
        raise YourTurn(problem, "a larger SHARD in scripts/training/saved_model.py makes fewer, then ./pipeline export")
    return [Tar(small), *large.values()]


def _sha256(release: Release, path: Path) -> str:
    """The SHA-256 of a file of a SavedModel, as export noted it and check_files verified it."""
    name, _, *parts = path.relative_to(release.folder / "models").parts
    model = next(model for model in release.models if model["name"] == name)
    return model["files"]["/".join(parts)]


def entry(name: str, seconds: int, content: Path | bytes | None) -> tarfile.TarInfo:
    """The header of a file or, of None, a folder: owned by root, readable by all, dated `seconds`, so that every build is the same."""
    header = tarfile.TarInfo(name)
    header.mtime, header.mode = seconds, 0o755 if content is None else 0o644
    header.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    header.size = content.stat().st_size if isinstance(content, Path) else len(content or b"")
    return header


def _link(name: str, target: str, seconds: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mtime, entry.mode = tarfile.SYMTYPE, seconds, 0o777
    entry.linkname = "../" * (len(PurePosixPath(name).parts) - 1) + target
    return entry


def push(release: Release, name: str, tag: str, architectures: list[str]) -> tuple[str, str]:
    """Pushes the image unless it is there: of the same layers for each architecture. Returns its digest, and the result in words."""
    repository, tars = registry.Repository(name), layers(release)
    pushed, several = [repository.push(tar) for tar in tars], len(architectures) > 1
    digests = {}
    for architecture in architectures:
        document = _manifest(repository, _config(release, tars, architecture), tars)
        described, put = repository.push_manifest(document, f"{tag}-{architecture}" if several else tag)
        digests[architecture] = described["digest"]
    digest, put = platforms.push_index(name, tag, digests) if several else (described["digest"], put)
    size = sum(len(tar) for tar, new in zip(tars, pushed, strict=True) if new)
    words = (
        f"{sum(pushed)} of {len(tars)} layers pushed, {size / 2**20:.1f} MiB"
        if put
        else "already there, nothing pushed"
    )
    return digest, words


def _manifest(repository: registry.Repository, config: bytes, tars: list[Tar]) -> dict[str, Any]:
    """The manifest of those layers, with its configuration pushed."""
    repository.push(registry.Text(config))
    return {
        "schemaVersion": 2,
        "mediaType": registry.MANIFEST,
        "config": registry.descriptor(CONFIG, registry.Text(config)),
        "layers": [registry.descriptor(LAYER, tar) for tar in tars],
    }


def _config(release: Release, tars: list[Tar], architecture: str) -> bytes:
    document = {
        "architecture": architecture,  # of the nodes: models have none, but a node pulls no image for another
        "os": "linux",
        "created": release.document["created"],
        "config": {"Labels": images.labels(release)},
        "rootfs": {"type": "layers", "diff_ids": [tar.digest for tar in tars]},
    }
    return json.dumps(document, sort_keys=True).encode()


@contextmanager
def filled(release: Release, image: str) -> Generator[str]:
    """A volume of the engine, filled from the layers of the pushed image. `image` is any image with a folder /models."""
    client, tars = engine.client(), layers(release)
    labels = {"pipeline.release": release.id, "pipeline.bytes": str(sum(map(len, tars)))}
    with engine.explained(f"the models of release {release.name} cannot be put into a volume"):
        volume = client.volumes.create(labels=labels)
        try:
            container = client.containers.create(image, volumes={volume.name: {"bind": "/models", "mode": "rw"}})
            try:
                for tar in tars:
                    container.put_archive("/models", tar)
            finally:
                container.remove()
            yield volume.name
        finally:
            volume.remove(force=True)


def unpack(name: str, digest: str, folder: Path) -> None:
    """Writes the image's files below `folder`, without an engine."""
    repository = registry.Repository(name)
    document, _ = repository.manifest(digest)
    if "manifests" in document:  # one for each architecture, all of the same layers
        document, _ = repository.manifest(document["manifests"][0]["digest"])
    for layer in document["layers"]:
        with repository.blob(layer["digest"]) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(folder, filter="data")
