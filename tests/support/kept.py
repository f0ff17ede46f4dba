"""Forks whose making takes minutes, kept by their content: from one test, process and run to the next, whatever clone that is of."""

import fcntl
import hashlib
import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.support.fork import Fork

FOLDER = Path(os.environ.get("PIPELINE_CACHE") or Path.home() / ".cache/pipeline") / "forks"
MOST = 4  # are kept: the two of a state of the code, and those of the state before it
BESIDE = re.compile(r"tests/(?!models/)|(docs|\.github|\.ci)/|[^/]+\.md$")  # no verb that makes something looks there
_in_use: list[IO] = []  # locks, for as long as this process lives


def kept(fork: Fork, make: Callable[[Fork], None]) -> Fork:
    """`fork`, as it is committed, after `make`; or one of the same content, of which another call has made that. Copy it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = FOLDER / _content(fork)
    note = place / "fork.pickle"
    _in_use.append(place.with_suffix(".used").open("w"))
    fcntl.flock(_in_use[-1], fcntl.LOCK_SH)
    with place.with_suffix(".made").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            make(fork)
            shutil.rmtree(place, ignore_errors=True)  # of one that was killed
            shutil.copytree(fork.root, place / "fork", symlinks=True)
            fork.root = place / "fork"
            note.write_bytes(pickle.dumps(fork))
    os.utime(note)
    _forget()
    return pickle.loads(note.read_bytes())


def _content(fork: Fork) -> str:
    """The hash of all that may decide what a verb makes of it: its files but for its ports, and this Python."""
    found = hashlib.sha256(sys.version.encode())
    for line in fork.git("ls-files", "--stage").splitlines():
        mode, _, _, path = line.split(maxsplit=3)
        if not BESIDE.match(path):
            text = (fork.root / path).read_bytes()
            content = re.sub(rb"_port = \d+", b"", text) if path == "pyproject.toml" else text
            found.update(f"{mode} {path} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def _forget() -> None:
    """Removes the oldest that nobody uses."""
    newest_first = sorted(FOLDER.glob("*/fork.pickle"), key=lambda note: note.stat().st_mtime, reverse=True)
    for note in newest_first[MOST:]:
        with note.parent.with_suffix(".used").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            note.unlink()  # first: a folder without it is made anew
            shutil.rmtree(note.parent)
