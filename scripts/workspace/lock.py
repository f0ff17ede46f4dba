"""One pipeline at a time works on build/: a second one names the first, and ends."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from scripts.workspace.errors import YourTurn

FILE = Path("build/.lock")


@contextmanager
def held(verb: str) -> Generator[None]:
    """Holds the lock. The kernel releases it when the process ends, however it ends."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another ./pipeline"
            raise YourTurn(f"{holder} is at work here", "wait for it to end, then the same command again") from None
        lock.truncate(0)
        lock.write(f"./pipeline {verb} (process {os.getpid()})")
        lock.flush()
        yield
