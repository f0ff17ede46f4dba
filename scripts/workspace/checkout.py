"""The state of this checkout by git: commit, its time, whether it is dirty, its files. A folder without git is always dirty."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.workspace import git
from scripts.workspace.errors import YourTurn


@dataclass(frozen=True)
class Checkout:
    commit: str | None  # 40 hex digits
    seconds: int  # of the commit, since the epoch; the present time if the tree is dirty
    dirty: bool


def read() -> Checkout:
    """The state of the checkout. A dirty tree has the present time, not its commit's: a version must grow with every change."""
    head = _said("log", "-1", "--format=%H %ct")
    if not head:
        return Checkout(None, int(time.time()), dirty=True)
    commit, seconds = head.decode().split()
    dirty = bool(changes())
    return Checkout(commit, int(time.time()) if dirty else int(seconds), dirty)


def branch() -> str | None:
    """The branch that is checked out; None for a commit that is checked out by its name."""
    said = _said("symbolic-ref", "--quiet", "--short", "HEAD")
    return said.decode(errors="surrogateescape").strip() if said else None


def changes(*paths: str, index: Path | None = None) -> list[str]:
    """Files that differ from the last commit, new ones too, as git compares them: with line ends, filters, links and modes.

    `paths` restricts the files; with `index`, this folder is compared with that index.
    """
    flags = ["--porcelain", "-z", "--untracked-files=all", "--ignore-submodules=none", "--no-renames"]
    lines = git.paths("status", *flags, "--", *paths, index=index)
    return [line[3:] for line in lines if not index or line[1] != " "]


def files(*folders: str) -> list[Path]:
    """The files that are, or lie below, `folders` and that git does not ignore, committed or not, sorted; all if this is no checkout."""
    listed = _said("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders)
    if listed is None:
        below = (path for folder in map(Path, folders) for path in (folder, *folder.rglob("*")))
        return sorted(path for path in below if path.is_file())
    found = {Path(name.decode(errors="surrogateescape")) for name in listed.split(b"\0") if name}
    return sorted(path for path in found if path.is_file())


def ignored(paths: Iterable[Path]) -> list[Path]:
    """The `paths` that git ignores; none if this is no checkout."""
    wanted = b"\0".join(str(path).encode(errors="surrogateescape") for path in paths)
    listed = _said("check-ignore", "-z", "--stdin", stdin=wanted) if wanted else b""
    return [Path(name.decode(errors="surrogateescape")) for name in (listed or b"").split(b"\0") if name]


def _said(*arguments: str, stdin: bytes = b"") -> bytes | None:
    """git's output; None if this is no checkout, or git is not installed."""
    try:
        done = git.ask(*arguments, stdin=stdin)
    except YourTurn as error:
        if error is git.ABSENT:
            return None
        raise
    return None if done.returncode else done.stdout
