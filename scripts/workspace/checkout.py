"""What git says of this checkout: commit, its time, whether the tree is dirty. A folder that is no checkout is always dirty."""

import subprocess
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Checkout:
    commit: str | None  # 40 hex digits
    seconds: int  # of the commit, since the epoch; now, if the tree is dirty
    dirty: bool


def read() -> Checkout:
    """A version must grow with every change, so a dirty tree has the time of now in the place of its commit's."""
    head = _git("log", "-1", "--format=%H %ct")
    if not head:
        return Checkout(None, int(time.time()), dirty=True)
    commit, seconds = head.split()
    dirty = bool(_git("status", "--porcelain"))
    return Checkout(commit, int(time.time()) if dirty else int(seconds), dirty)


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""
