"""Brings files into the cache: several at once, each from where it was cut, verified before it gets its name."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import threading
from collections.abc import Generator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.release.sources import LOCK, Declared
from scripts.sources import cache
from scripts.sources.places import BLOCK, Final, Place, explained, named
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

AT_ONCE = 8  # transfers: one connection seldom fills a line
ATTEMPTS = 3  # at a transfer that breaks off, each from where the one before ended
SPARE = 2**28  # bytes of disk that are left free


@dataclass(frozen=True)
class File:
    """A file to bring. `sha256` is None where only its place knows what it is; `size`, in bytes, too."""

    source: Declared
    place: Place
    path: str  # below the source
    sha256: str | None
    size: int | None
    token: str = ""

    @property
    def partial(self) -> Path:
        """Where its beginning lies until it is whole."""
        return cache.partial_of(
            self.sha256 or hashlib.sha256(f"{self.source.url} {self.path} {self.token}".encode()).hexdigest()
        )


@dataclass
class _Count:
    """The bytes that have come, of all threads together."""

    total: int  # bytes
    progress: console.Progress | None
    bytes: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        if self.stop.is_set():
            raise InterruptedError
        with self.lock:
            before, self.bytes = self.bytes, self.bytes + count
            if self.progress and self.bytes >> 20 > before >> 20:
                self.progress.show(self.bytes >> 20, (self.total >> 20) or None, "MiB")


def bring(wanted: list[File]) -> list[dict[str, Any]]:
    """Brings all of them; returns the SHA-256 and the size of each, in the same order. Raises YourTurn for one that cannot be had.

    What came before an error, or before Ctrl-C, is kept.
    """
    total = sum(file.size or 0 for file in wanted)
    _check_disk(total)
    with console.Progress("fetch") as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        count = _Count(total, progress)
        futures = [pool.submit(_bring, file, count) for file in wanted]
        try:
            ended = wait(futures, return_when=FIRST_EXCEPTION).done
            for future in ended:
                future.result()  # raises the error that came first, and not what ended the others
        except BaseException:
            count.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def bring_quietly(file: File) -> dict[str, Any]:
    """bring(), of one file, while something else is shown."""
    _check_disk(file.size or 0)
    return _bring(file, _Count(file.size or 0, None))


def _check_disk(size: int) -> None:
    """Raises YourTurn, before the first byte, if the cache's disk has no room."""
    folder = cache.folder()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        problem = f"{folder} has {free / 2**30:.1f} GiB left, and {size / 2**30:.1f} GiB are to be brought"
        raise YourTurn(
            problem,
            "./pipeline fetch --prune 0 removes what this checkout does not use; or set XDG_CACHE_HOME to a larger disk",
        )


def _bring(file: File, count: _Count) -> dict[str, Any]:
    with _alone(file.partial) as partial:
        for attempt in range(1, ATTEMPTS + 1):
            if file.sha256 and cache.has({"sha256": file.sha256, "size": file.size}):  # another process was faster
                break
            begin = partial.stat().st_size if partial.exists() else 0
            try:
                sha256 = _append(file, partial, count)
            except YourTurn as error:
                if attempt == ATTEMPTS or isinstance(error, Final) or isinstance(error.__cause__, InterruptedError):
                    raise
                continue
            if file.sha256 in (None, sha256):
                size = partial.stat().st_size
                cache.take(partial, sha256)
                return {"sha256": sha256, "size": size}
            partial.unlink()
            if not begin:  # else what lay there was not its beginning
                raise _changed(file, sha256)
        return {"sha256": file.sha256, "size": file.size}


@contextmanager
def _alone(partial: Path) -> Generator[Path]:
    """One process at a time writes a file; a second waits, and finds it."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield partial


def _append(file: File, partial: Path, count: _Count) -> str:
    """Adds what is missing at the end of `partial`; returns the SHA-256 of the whole."""
    total = hashlib.sha256()
    with partial.open("a+b") as target:
        target.seek(0)
        while chunk := target.read(BLOCK):
            total.update(chunk)
            count.add(len(chunk))
        begin = target.tell()
        if file.size is not None and begin == file.size:
            return total.hexdigest()
        with explained(file.source, file.path), file.place.open(file.path, begin) as source:
            while chunk := source.read(BLOCK):
                target.write(chunk)
                total.update(chunk)
                count.add(len(chunk))
                if file.size is not None and target.tell() > file.size:
                    break  # it is another file: no reason to fill the disk with it
            if file.sha256 is None and file.size is not None and target.tell() < file.size:
                raise EOFError(f"it ended after {target.tell()} of {file.size} bytes")
    return total.hexdigest()


def _changed(file: File, sha256: str) -> YourTurn:
    problem = f"{named(file.source, file.path)} is not what {LOCK} notes: its SHA-256 is {sha256[:12]}…, and was {str(file.sha256)[:12]}…"
    return YourTurn(
        problem, f"put back what was there, or take what is there now: ./pipeline fetch --update {file.source.name}"
    )
