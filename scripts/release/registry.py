"""An OCI registry by its own API: blobs streamed from disk, manifests, and the referrers of an image.

The engine pushes the server's image (engine.py). This module pushes files that are not images, which an engine cannot push, and models of
gigabytes, which an engine should not store again. Credentials are those of `docker login`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin

import requests

from scripts.release import engine
from scripts.release.oci import MANIFEST
from scripts.workspace.errors import YourTurn

TITLE = "org.opencontainers.image.title"  # a layer's file name, as ORAS writes it
INDEX = "application/vnd.oci.image.index.v1+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"  # Docker's own form of an index, for images in Docker's own form
KINDS = f"{MANIFEST}, {INDEX}, {LIST}, application/vnd.docker.distribution.manifest.v2+json"
EMPTY = b"{}"  # the specification's configuration for an artifact without one
CHUNK = 2**20  # bytes in memory at a time
TIMEOUT = (10, 300)  # seconds to connect, and to wait for a byte: a registry may hash gigabytes before it answers
LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$")  # spoken to without TLS, as engines do


class Blob(Protocol):
    """Bytes whose digest is known before they are sent. Each iteration starts from the beginning."""

    digest: str

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Text:
    """A blob in memory."""

    def __init__(self, content: bytes):
        self.content, self.digest = content, digest([content])

    def __len__(self) -> int:
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        yield self.content


class File:
    """A blob on disk."""

    def __init__(self, path: Path):
        self.path, self.size = path, path.stat().st_size
        self.digest = digest(self)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return chunks(self.path)


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def digest(chunks: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return f"sha256:{total.hexdigest()}"


def descriptor(media_type: str, blob: Blob, **annotations: str) -> dict[str, Any]:
    described = {"mediaType": media_type, "digest": blob.digest, "size": len(blob)}
    return described | ({"annotations": annotations} if annotations else {})


class Repository:
    """REGISTRY/NAME, or http://REGISTRY/NAME. A refusal of the registry becomes YourTurn, with the registry's own message."""

    def __init__(self, name: str):
        given, _, self.name = name.rpartition("://")
        self._host, _, path = self.name.partition("/")
        scheme = given or ("http" if LOOPBACK.match(self._host) else "https")
        host = "registry-1.docker.io" if self._host == "docker.io" else self._host
        self._base, self._path = f"{scheme}://{host}/v2/{path}/", path
        self._session = requests.Session()

    def push(self, blob: Blob) -> bool:
        """Uploads `blob` unless it is there. Returns whether it was uploaded."""
        with self._explained(f"{blob.digest} cannot be pushed to {self.name}"):
            if self._ask("HEAD", f"blobs/{blob.digest}", missing=True):
                return False
            place = self._ask("POST", "blobs/uploads/")
            url = urljoin(place.url, place.headers["Location"])
            headers = {"Content-Type": "application/octet-stream"}
            self._ask("PUT", url, params={"digest": blob.digest}, data=blob, headers=headers)
            return True

    def push_manifest(self, document: dict[str, Any], tag: str | None = None) -> tuple[dict[str, Any], bool]:
        """Puts a manifest unless it is there, and lists it as a referrer of `subject`. Returns its descriptor and whether it was put."""
        content = Text(json.dumps(document, sort_keys=True).encode())
        described = descriptor(document["mediaType"], content)
        with self._explained(f"{content.digest} cannot be pushed to {self.name}"):
            known = self._ask("HEAD", f"manifests/{tag or content.digest}", missing=True)
            if known and known.headers.get("Docker-Content-Digest") == content.digest:
                return described, False
            headers = {"Content-Type": document["mediaType"]}
            answer = self._ask("PUT", f"manifests/{tag or content.digest}", data=content.content, headers=headers)
            if "subject" in document and "OCI-Subject" not in answer.headers:
                self._note_referrer(document, described)
        return described, True

    def _note_referrer(self, document: dict[str, Any], described: dict[str, Any]) -> None:
        """Adds to the list of referrers under a tag: by the specification the client keeps it if the registry has no referrers API."""
        tag = document["subject"]["digest"].replace(":", "-")
        entry = described | {key: document[key] for key in ("artifactType", "annotations") if key in document}
        listed = self.referrers(document["subject"]["digest"])
        if described["digest"] not in [one["digest"] for one in listed]:
            self.push_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]}, tag)

    def referrers(self, subject: str) -> list[dict[str, Any]]:
        """The descriptors of the manifests that refer to the digest `subject`."""
        with self._explained(f"what belongs to {self.name}@{subject} cannot be listed"):
            for place in (f"referrers/{subject}", f"manifests/{subject.replace(':', '-')}"):
                if answer := self._ask("GET", place, missing=True):
                    return answer.json()["manifests"]
        return []

    def has(self, reference: str) -> bool:
        """Whether there is a manifest with that tag or digest. Raises YourTurn if the registry does not say."""
        return bool(self._head(reference))

    def digest(self, reference: str) -> str | None:
        """The digest of the manifest with that tag or digest; None if there is none."""
        if not (answer := self._head(reference)):
            return None
        said = answer.headers.get("Docker-Content-Digest")  # which a registry need not say
        return said or self.manifest(reference)[1]["digest"]

    def _head(self, reference: str) -> Any:
        with self._explained(f"{self.name}@{reference} cannot be asked for"):
            return self._ask("HEAD", f"manifests/{reference}", missing=True, timeout=(5, 10))

    def manifest(self, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The manifest with that tag or digest, and its descriptor."""
        with self._explained(f"{self.name}@{reference} cannot be read"):
            content = Text(self._ask("GET", f"manifests/{reference}").content)
            if reference.startswith("sha256:") and reference != content.digest:
                raise ValueError
        document = json.loads(content.content)
        return document, descriptor(document["mediaType"], content)

    def text(self, digest: str) -> bytes:
        """A small blob, whole."""
        with self.blob(digest) as blob:
            return blob.read()

    @contextmanager
    def blob(self, digest: str) -> Generator[Any]:
        """The blob as a file to read from start to end."""
        with self._explained(f"{self.name}@{digest} cannot be read"):
            answer = self._ask("GET", f"blobs/{digest}", stream=True)
            with answer:
                yield answer.raw

    def _ask(
        self, method: str, place: str, missing: bool = False, timeout: tuple[int, int] = TIMEOUT, **options: Any
    ) -> Any:
        """One request, with a token if the registry wants one. None for a 404, if `missing` allows it."""
        headers = {"Accept": KINDS} | options.pop("headers", {})
        for attempt in (1, 2):
            answer = self._session.request(
                method, urljoin(self._base, place), headers=headers, timeout=timeout, **options
            )
            if answer.status_code == 401 and attempt == 1 and self._log_in(answer.headers.get("WWW-Authenticate", "")):
                continue
            if answer.status_code == 404 and missing:
                return None
            if not answer.ok:
                raise requests.HTTPError(f"HTTP {answer.status_code} {answer.reason}: {answer.text[:300]}")
            return answer
        return None

    def _log_in(self, challenge: str) -> bool:
        """Logs in as the registry asks: by HTTP Basic, or with a token from the server that it names. False if it asks for neither."""
        from docker import auth

        known = auth.load_config().resolve_authconfig("" if self._host == "docker.io" else self._host) or {}
        login = (known["username"], known["password"]) if known.get("username") else None
        if challenge.lower().startswith("basic") and login:
            token = base64.b64encode(":".join(login).encode()).decode()
            self._session.headers["Authorization"] = f"Basic {token}"
            return True
        if not challenge.lower().startswith("bearer"):
            return False
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"service": wanted.get("service", ""), "scope": f"repository:{self._path}:pull,push"}
        answer = requests.get(wanted["realm"], params=query, auth=login, timeout=TIMEOUT)
        answer.raise_for_status()
        found = answer.json()
        self._session.headers["Authorization"] = f"Bearer {found.get('token') or found['access_token']}"
        return True

    @contextmanager
    def _explained(self, doing: str) -> Generator[None]:
        try:
            yield
        except (requests.RequestException, OSError) as error:
            raise engine.refused(doing, str(error)) from error
        except (KeyError, ValueError) as error:
            raise YourTurn(
                f"{doing}: {self._host} answers what no registry does", "see that the name is right"
            ) from error
