"""Where a source lies: anything that fsspec knows, or an artifact in an OCI registry. Lists files and reads them, from any byte on."""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from scripts.release.registry import TITLE, Repository
from scripts.release.sources import ARTIFACT, Declared
from scripts.workspace import settings
from scripts.workspace.errors import YourTurn

BLOCK = 8 * 2**20  # bytes of a file in memory at a time
PACKAGES = {  # that fsspec needs beside itself, by scheme
    **dict.fromkeys(["s3", "s3a"], "s3fs"),
    **dict.fromkeys(["gs", "gcs"], "gcsfs"),
    **dict.fromkeys(["az", "abfs", "abfss"], "adlfs"),
    "hf": "huggingface_hub",
}
KNOWN = ["file", "http", "https", "oci", *PACKAGES]
GONE = re.compile(r"\b404\b.{0,20}not found", re.IGNORECASE)
# Each library has its own word.
REFUSED = re.compile(r"\b40[13]\b|forbidden|credential|authenti|authori[sz]", re.IGNORECASE)
LOG_IN = "log in as that cloud's own tools do (docs/data.md has each), then the same command again"
AGAIN = "the same command again goes on; if it comes again, see that the address is right"
AUTHORITY = "if your organisation has an authority of its own: export SSL_CERT_FILE=its certificate; then the same command again"


@dataclass(frozen=True)
class Remote:
    """A file of a source. `token` is the same as long as the place says that its content is; empty where it does not say."""

    size: int | None  # in bytes; None where the place does not say
    token: str = ""


class Place(Protocol):
    def files(self) -> dict[str, Remote]:
        """The files by their path below the source; of a single file, by the empty path."""
        ...

    def open(self, path: str, offset: int) -> Any:
        """A context manager: the file, from the byte `offset` on."""
        ...


def of(source: Declared) -> Place:
    """Raises YourTurn for a scheme that nothing here reads, or whose package is missing."""
    scheme = urlsplit(source.url).scheme
    if scheme == "oci":
        return Artifact(source)
    if scheme not in KNOWN:
        raise YourTurn(
            f"{_at(source)}: nothing reads {scheme}://{settings.did_you_mean(scheme, KNOWN)}", f"edit {source.file}"
        )
    package = PACKAGES.get(scheme, "fsspec")
    if not importlib.util.find_spec(package):
        raise YourTurn(
            f"{_at(source)}: {scheme}:// is read by {package}, which is not installed", f"./pipeline add {package}"
        )
    return Files(source)


def _at(source: Declared) -> str:
    return f"{source.file}, line {source.line}"


class Final(YourTurn):
    """Another attempt would end as this one did."""


@contextmanager
def explained(source: Declared, what: str = "") -> Generator[None]:
    """Each library has errors of its own for the same things: what they say stands in one sentence, with what the person can do."""
    try:
        yield
    except (YourTurn, KeyboardInterrupt):
        raise
    except Exception as error:
        while isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
            error = error.__cause__  # fsspec says so of whatever happens while it asks for a file by HTTP
        kind, words, remedy = _told(source, error)
        raise kind(f"the source {source.name!r}: {named(source, what)} {words}", remedy) from error


def named(source: Declared, path: str) -> str:
    """The address of a source, or of a file in it."""
    return f"{source.url}{f' ({path})' if path else ''}"


def _told(source: Declared, error: Exception) -> tuple[type[YourTurn], str, str]:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if isinstance(error, FileNotFoundError) or GONE.search(text):
        return Final, "is not there", f"put it there, or edit {_at(source)}"
    if "certificate" in text.lower():
        return Final, f"cannot be read: {text}", AUTHORITY
    if isinstance(error, PermissionError) or REFUSED.search(text):
        return Final, f"may not be read: {text}", LOG_IN
    return YourTurn, f"cannot be read: {text}", AGAIN


class Files:
    """A file, or the files of a pattern or folder, by fsspec."""

    def __init__(self, source: Declared):
        self.source, self.is_http = source, urlsplit(source.url).scheme in ("http", "https")
        with explained(source):
            self.system, self.path = _system(source.url)

    def files(self) -> dict[str, Remote]:
        with explained(self.source):
            if not self.source.is_folder:
                return {"": self._remote(self.system.info(self.path))}
            if self.is_http:
                raise YourTurn(
                    f"{_at(self.source)}: a folder cannot be listed by {urlsplit(self.source.url).scheme}://",
                    "name one file, such as an archive",
                )
            found = self._found()
            if not found:
                raise FileNotFoundError(self.source.url)
            return {path.removeprefix(self._root()): self._remote(info) for path, info in found.items()}

    def _found(self) -> dict[str, Any]:
        if self.source.url.endswith("/"):
            return self.system.find(self.path, detail=True)
        return {path: info for path, info in self.system.glob(self.path, detail=True).items() if info["type"] == "file"}

    def _root(self) -> str:
        """The path up to the first folder that a pattern decides."""
        path = self.path.rstrip("/") + "/" if self.source.url.endswith("/") else self.path
        fixed = min((path.find(sign) for sign in "*?[" if sign in path), default=len(path))
        return path[: path.rfind("/", 0, fixed) + 1]

    def _remote(self, info: dict[str, Any]) -> Remote:
        kept = {
            key: str(info[key])
            for key in ("ETag", "etag", "md5", "sha256", "mtime", "LastModified", "generation", "blob_id")
            if info.get(key)
        }
        return Remote(
            info.get("size"), " ".join(f"{key}={value}" for key, value in sorted(kept.items())) if kept else ""
        )

    @contextmanager
    def open(self, path: str, offset: int) -> Generator[IO[bytes]]:
        whole = f"{self._root()}{path}" if self.source.is_folder else self.path
        # From the beginning, a server of HTTP need not know ranges.
        options = {"block_size": 0} if self.is_http and not offset else {"block_size": BLOCK, "cache_type": "readahead"}
        with explained(self.source, path), self.system.open(whole, "rb", **options) as file:
            _skip(file, offset)
            yield file


@functools.cache
def _system(url: str) -> tuple[Any, str]:
    import aiohttp
    import fsspec

    # Some libraries log what they also raise, with its traceback: it is told once.
    logging.getLogger().addHandler(logging.NullHandler())
    if urlsplit(url).scheme not in ("http", "https"):
        return fsspec.url_to_fs(url)
    # aiohttp heeds a proxy's variables only if it is told to, and ends a transfer of more than five minutes.
    patience = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)  # seconds
    return fsspec.url_to_fs(url, client_kwargs={"trust_env": True, "timeout": patience})


class Artifact:
    """The layers of an artifact in an OCI registry, each a file by its title."""

    def __init__(self, source: Declared):
        found = ARTIFACT.fullmatch(source.url)
        if not found:
            raise YourTurn(
                f"{_at(source)}: {source.url} names no tag and no digest",
                f"edit {source.file}: oci://REGISTRY/NAME:TAG",
            )
        self.source, self.repository = source, Repository(found["name"])
        self.reference, self.file = found["tag"] or found["digest"], found["file"]

    @functools.cached_property
    def _layers(self) -> dict[str, dict[str, Any]]:
        document, _ = self.repository.manifest(self.reference)
        layers = document.get("layers", [])
        by_title = {layer.get("annotations", {}).get(TITLE, ""): layer for layer in layers}
        if self.file:
            return {"": self._named(by_title)}
        if not self.source.is_folder:
            if len(layers) != 1:
                raise YourTurn(
                    f"{self.source.url} holds {len(layers)} files",
                    f"edit {_at(self.source)}: {self.source.url}/ names them all, {self.source.url}/FILE one",
                )
            return {"": layers[0]}
        if not layers or len(by_title) < len(layers) or "" in by_title:
            raise YourTurn(
                f"{self.source.url} has layers without a title: it is no artifact of files",
                "push it by oras, or docs/data.md says how",
            )
        return by_title

    def _named(self, by_title: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if self.file not in by_title:
            problem = f"{self.source.url} is not there; there is: {', '.join(sorted(filter(None, by_title)))}"
            raise YourTurn(problem, f"edit {_at(self.source)}")
        return by_title[self.file]

    def files(self) -> dict[str, Remote]:
        return {title: Remote(layer["size"], layer["digest"]) for title, layer in self._layers.items()}

    @contextmanager
    def open(self, path: str, offset: int) -> Generator[IO[bytes]]:
        with self.repository.blob(self._layers[path]["digest"]) as file:
            _skip(file, offset)
            yield file


def _skip(file: Any, offset: int) -> None:
    """To the byte `offset`, by reading up to it where the place knows no ranges."""
    if offset:
        try:
            file.seek(offset)
        except (ValueError, OSError):
            while offset and (skipped := file.read(min(BLOCK, offset))):
                offset -= len(skipped)
