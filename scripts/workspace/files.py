"""Files that are whole or absent: written beside their place, then renamed into it."""

import hashlib
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write(path: Path, content: str | bytes) -> None:
    """Writes a file. Text is UTF-8 in every locale, with its line ends unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, document: Any) -> None:
    """Writes JSON. Raises ValueError for NaN, which JSON does not have."""
    write(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


@contextmanager
def directory(path: Path) -> Generator[Path]:
    """A folder to fill. It replaces `path` if the block ends well, and is removed if not."""
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        remove(partial)
        raise
    remove(path)
    partial.rename(path)


def remove(path: Path) -> None:
    """Removes a folder. It is renamed first, so that no reader finds half of it."""
    if path.exists():
        gone = path.with_name(f".{path.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone)


def link(path: Path, target: Path) -> None:
    """Points the symbolic link `path` at `target` (beside or below it), in one step."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(os.path.relpath(target, path.parent))
    partial.replace(path)


def shown_size(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path relative to it."""
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def link_tree(source: Path, target: Path) -> None:
    """Fills the folder `target` with hard links to the files of `source`: nothing is copied, and no file is ever changed in place."""
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
