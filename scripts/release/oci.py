"""An image as an OCI layout, with its manifest and its configuration alone: its layers are where it is loaded."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SMALL = 2**20  # bytes: a manifest is smaller, and a layer is not read into memory


def layers(archive: Iterable[bytes], manifest: str = "") -> list[dict[str, Any]]:
    """The descriptors of the layers of the image in `archive`, as an engine with a containerd store saves it; none in any other form.

    The engine may have told the digest of its manifest: then no more is read than up to there, since all of it can be gigabytes.
    """
    small: dict[str, bytes] = {}
    wanted = _blob(manifest) if manifest else "index.json"
    with tarfile.open(fileobj=_Stream(iter(archive)), mode="r|") as tar:
        for entry in tar:
            if entry.isfile() and entry.size < SMALL:
                small[entry.name] = tar.extractfile(entry).read()  # ty: ignore
            while wanted in small and "manifests" in (found := json.loads(small[wanted])):
                wanted = _blob(found["manifests"][0]["digest"])
            if wanted in small:
                return [{key: layer[key] for key in ("mediaType", "digest", "size")} for layer in found["layers"]]
    return []


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def unpacked(diffs: list[str]) -> list[dict[str, Any]]:
    """The descriptors of layers by the digests of their content. Their sizes are not asked for: none of them is read."""
    return [{"mediaType": LAYER, "digest": digest, "size": 0} for digest in diffs]


def layout(config: bytes, layers: list[dict[str, Any]], tag: str) -> dict[str, bytes]:
    """The files of a layout whose only image is called `tag`."""
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": _descriptor(CONFIG, config), "layers": layers}
    manifest = json.dumps(document, sort_keys=True).encode()
    image = _descriptor(MANIFEST, manifest) | {"annotations": {"io.containerd.image.name": _whole(tag)}}
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [image]}).encode(),
        **{f"blobs/sha256/{hashlib.sha256(content).hexdigest()}": content for content in (config, manifest)},
    }


def _whole(tag: str) -> str:
    """The name with its registry, as containerd knows it: Docker's own where none is named."""
    host, slash, _ = tag.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return tag
    return f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


class _Stream(io.RawIOBase):
    """A file to read of chunks that come one by one."""

    def __init__(self, chunks: Iterator[bytes]):
        self.chunks, self.rest = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while len(self.rest) < size and (chunk := next(self.chunks, b"")):
            self.rest += chunk
        found, self.rest = self.rest[:size], self.rest[size:]
        return found
