"""Files that only stand for others: of Git LFS, and of DVC."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

from scripts.workspace import files

LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
LARGEST = 1024  # bytes of a pointer, by Git LFS's own limit


def lfs(path: Path) -> str | None:
    """The SHA-256 of the file that a pointer of Git LFS stands for; None for any other file."""
    with path.open("rb") as file:
        found = LFS.match(file.read(LARGEST))
    return found[1].decode() if found else None


def sha256(path: Path) -> str:
    """Of the content: the same before and after Git LFS has brought it."""
    return lfs(path) or files.sha256(path)


def dvc(paths: Iterable[Path]) -> dict[Path, Path]:
    """What DVC keeps and is not here, by the file that stands for it: data.npz by data.npz.dvc."""
    missing = {}
    for path in paths:
        if path.suffix == ".dvc":
            for out in _outs(path):
                if not (path.parent / out).exists():
                    missing[path.parent / out] = path
    return missing


def _outs(path: Path) -> list[str]:
    try:
        document = YAML(typ="safe").load(path.read_text())
        return [out["path"] for out in document["outs"]]
    except (YAMLError, KeyError, TypeError):
        return []  # not DVC's
