"""What takes long to make, kept by the content of the fork that makes it: from one test, process and run to the next, whatever clone
that is of.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.fork import Fork

FOLDER = Path(os.environ.get("PIPELINE_CACHE") or Path.home() / ".cache/pipeline")
FORKS, BUILDS = FOLDER / "forks", FOLDER / "builds"
# Of these so many are kept: of forks the two of a state of the code and those of the state before it; a build is small.
MOST = {FORKS: 4, BUILDS: 60}
BESIDE = re.compile(r"tests/(?!models/)|(docs|\.github|\.ci)/|[^/]+\.md$")  # no verb that makes something looks there
_in_use: list[IO] = []  # locks, for as long as this process lives


def kept(fork: Fork, make: Callable[[Fork], None]) -> Fork:
    """`fork`, as it is committed, after `make`; or one of the same content, of which another call has made that. Copy it."""

    def fill(place: Path) -> None:
        make(fork)
        shutil.copytree(fork.root, place / "fork", symlinks=True)
        fork.root = place / "fork"
        (place / "fork.pickle").write_bytes(pickle.dumps(fork))

    return pickle.loads((_place(FORKS, _content(fork), fill) / "fork.pickle").read_bytes())


def bring(fork: Fork, verbs: tuple[str, ...]) -> None:
    """What `verbs` make of `fork` as its files are now, in its build/: made in a copy, or kept from another call."""

    def fill(place: Path) -> None:
        copy = fork.copy(place / "fork")
        shutil.rmtree(copy.root / "build", ignore_errors=True)
        for verb in verbs:
            copy.ok(*verb.split())
        (copy.root / "build").rename(place / "build")
        shutil.rmtree(copy.root)

    name = _content(fork, *verbs, fork.git("log", "-1", "--format=%ct %D"))
    made, build = _place(BUILDS, name, fill) / "build", fork.root / "build"
    if (made / "release").exists():
        (build / "release").unlink(missing_ok=True)
    for module in made.glob("*/history.json"):
        shutil.rmtree(build / module.parent.name, ignore_errors=True)
    shutil.copytree(made, build, symlinks=True, dirs_exist_ok=True)
    for path in [
        *made.glob("trainings/*/*.json"),
        *made.glob("releases/*/release.json"),
    ]:  # the commits differ in the ports
        text, here = path.read_text(), build / path.relative_to(made)
        here.write_text(text.replace(json.loads(text)["commit"], fork.git("rev-parse", "HEAD").strip()))


def _place(folder: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """The folder of this name, which `fill` has filled once."""
    place = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    _in_use.append(place.with_suffix(".used").open("w"))
    fcntl.flock(_in_use[-1], fcntl.LOCK_SH)
    with place.with_suffix(".made").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)  # of one that was killed
            place.mkdir()
            fill(place)
            (place / "whole").touch()
    os.utime(place / "whole")
    _forget(folder)
    return place


def _content(fork: Fork, *more: str) -> str:
    """The hash of all that may decide what a verb makes of it: its files but for its ports, and this Python."""
    found = hashlib.sha256("\n".join([sys.version, *more]).encode())
    for name in sorted(set(fork.git("ls-files", "-zco", "--exclude-standard").split("\0"))):
        if not BESIDE.match(name) and (path := fork.root / name).is_file():
            text = path.read_bytes()
            content = re.sub(rb"_port = \d+", b"", text) if name == "pyproject.toml" else text
            found.update(f"{os.access(path, os.X_OK)} {name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def _forget(folder: Path) -> None:
    """Removes the oldest that nobody uses."""
    newest_first = sorted(folder.glob("*/whole"), key=lambda note: note.stat().st_mtime, reverse=True)
    for note in newest_first[MOST[folder] :]:
        with note.parent.with_suffix(".used").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            note.unlink()  # first: a folder without it is made anew
            shutil.rmtree(note.parent)
