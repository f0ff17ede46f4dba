"""Files by their content, below the user's cache folder: shared by all checkouts, read-only, and whole or absent.

A checkout holds links to them, build/sources/NAME, which path() gives to a model.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.release import sources
from scripts.release.sources import Declared
from scripts.workspace import files

VIEW = Path("build/sources")


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeline-sources"


def object_of(sha256: str) -> Path:
    return folder() / sha256[:2] / sha256


def partial_of(sha256: str) -> Path:
    """Where the beginning of a file lies until it is whole. A transfer that was cut goes on from there."""
    return folder() / "partial" / sha256


def has(one: dict[str, Any]) -> bool:
    """Whether a file is there, by its size: it was verified before it got its name, and is read-only."""
    try:
        return object_of(one["sha256"]).stat().st_size == one["size"]
    except OSError:
        return False


def take(partial: Path, sha256: str) -> None:
    """Gives a verified file its name."""
    place = object_of(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial.chmod(0o444)
    partial.replace(place)


def drop(one: dict[str, Any]) -> None:
    object_of(one["sha256"]).unlink(missing_ok=True)


def show(source: Declared, entry: dict[str, Any]) -> None:
    """Links build/sources/NAME to the source's content."""
    if "files" not in entry:
        _show_file(source, object_of(entry["sha256"]))
        return
    with files.directory(VIEW / source.name) as view:
        for path, one in entry["files"].items():
            (view / path).parent.mkdir(parents=True, exist_ok=True)
            (view / path).symlink_to(object_of(one["sha256"]))


def show_one(source: Declared, path: str, one: dict[str, Any]) -> Path:
    """Links a file of a stream, below build/sources/NAME/."""
    link = VIEW / source.name / (path or f"{source.name}{source.suffix}")
    link.parent.mkdir(parents=True, exist_ok=True)
    files.link(link, object_of(one["sha256"]))
    return link


def show_sample(source: Declared) -> None:
    """Links build/sources/NAME to the source's sample, which is a file below model/."""
    _show_file(source, (Path("model") / str(source.sample)).absolute())


def _show_file(source: Declared, content: Path) -> None:
    VIEW.mkdir(parents=True, exist_ok=True)
    for old in (*VIEW.glob(f"{source.name}.*"), VIEW / source.name):
        if old.is_symlink() or old.is_file():  # a file, where an editor has written one in the place of the link
            old.unlink()
        else:
            files.remove(old)
    (VIEW / f"{source.name}{'' if source.is_folder else source.suffix}").symlink_to(content)


def prune(keep: Iterable[dict[str, Any]], limit: int) -> tuple[int, int]:
    """Removes the files that were least recently used until `limit` bytes are left, and no file that `keep` notes.

    Returns how many were removed, and how many bytes are left.
    """
    shutil.rmtree(folder() / "partial", ignore_errors=True)
    kept = {one["sha256"] for entry in keep for one in sources.entries(entry).values()}
    found = sorted(_objects(), key=lambda path: path.stat().st_atime)
    left, removed = sum(path.stat().st_size for path in found), 0
    for path in found:
        if left > limit and path.name not in kept:
            left, removed = left - path.stat().st_size, removed + 1
            path.unlink()
    return removed, left


def _objects() -> Iterator[Path]:
    return (path for path in folder().glob("[0-9a-f][0-9a-f]/*") if path.is_file())
