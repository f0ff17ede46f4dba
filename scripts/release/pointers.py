"""Files that only stand for others: of Git LFS, and of DVC."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from scripts.workspace import files

LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
PIPELINE = "dvc.lock"
LARGEST = 1024  # bytes of a pointer, by Git LFS's own limit


def lfs(path: Path) -> str | None:
    """The SHA-256 of the file that a pointer of Git LFS stands for; None for any other file."""
    if path.is_dir():  # which DVC may keep
        return None
    with path.open("rb") as file:
        found = LFS.match(file.read(LARGEST))
    return found[1].decode() if found else None


def sha256(path: Path) -> str:
    """Of the content: the same before and after Git LFS has brought it."""
    return lfs(path) or files.sha256(path)


def dvc(paths: Iterable[Path]) -> dict[Path, Path]:
    """What DVC keeps and is not here as it was kept, by the file that says how: data.npz by data.npz.dvc, or by a pipeline's dvc.lock."""
    kept = {path: (pointer, out) for pointer in paths for path, out in outs(pointer).items()}
    return {path: pointer for path, (pointer, out) in kept.items() if not _is_kept(path, out)}


def outs(pointer: Path) -> dict[Path, dict[str, Any]]:
    """What a file of DVC's says of the files that it keeps; nothing if it is not DVC's."""
    try:
        if pointer.suffix == ".dvc":
            return {pointer.parent / out["path"]: out for out in _read(pointer)["outs"]}
        if pointer.name == PIPELINE:
            return dict(_of_pipeline(pointer))
    except (YAMLError, OSError, KeyError, TypeError, AttributeError):
        pass
    return {}


def _of_pipeline(lock: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each stage has its paths from its own working directory, which dvc.yaml alone says."""
    stages = _read(lock.with_name("dvc.yaml"))["stages"]
    for name, stage in _read(lock)["stages"].items():
        folder = lock.parent / stages[name.partition("@")[0]].get(
            "wdir", "."
        )  # one of many by `foreach` has its item behind an @
        yield from ((Path(os.path.normpath(folder / out["path"])), out) for out in stage.get("outs", []))


def _read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def _is_kept(path: Path, out: dict[str, Any]) -> bool:
    """Whether `path` holds what DVC noted: else a model would be trained on other data than those that its release is named by."""
    noted = out.get("md5") if out.get("hash") == "md5" else None  # before its version 3, DVC left out carriage returns
    if not path.exists() or not noted:
        return path.exists()
    if not path.is_dir():
        return _md5(path) == noted
    found = sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())
    listed = json.dumps([{"md5": _md5(path / one), "relpath": one} for one in found]).encode()
    return f"{hashlib.md5(listed, usedforsecurity=False).hexdigest()}.dir" == noted


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
