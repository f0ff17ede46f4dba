"""Gives a model the files of a stream one by one, for more than the disk holds: brought and verified before they are read, then removed.

A training is a process without the user's variables, which a cloud's login needs. It asks this one by a socket; model.each() has its side.
"""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.release import sources
from scripts.release.sources import Declared
from scripts.sources import cache, places, transfer
from scripts.sources.transfer import File
from scripts.workspace.errors import YourTurn

SOCKET = Path("build/sources.sock")  # relative: a socket's path has some hundred bytes


def serve(streams: dict[str, Declared]) -> None:
    """Answers, for the rest of this process, what model.each() asks of these sources."""
    if streams:
        SOCKET.parent.mkdir(exist_ok=True)
        SOCKET.unlink(missing_ok=True)
        server = _Server(streams)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, streams: dict[str, Declared]):
        super().__init__(str(SOCKET), _Reader)
        self.streams, self.lock = streams, threading.Lock()
        self.readers: Counter[str] = Counter()  # of each file, by its SHA-256: two may read one source
        self.ours: set[str] = set()  # what was not there before, and is removed when nobody reads it

    @contextmanager
    def lent(self, file: File) -> Generator[Path]:
        one = {"sha256": str(file.sha256), "size": file.size}
        with self.lock:
            self.readers[one["sha256"]] += 1
            if not cache.has(one):
                self.ours.add(one["sha256"])
        try:
            transfer.bring_quietly(file)
            with self.lock:
                link = cache.show_one(file.source, file.path, one)
            yield link
        finally:
            with self.lock:
                self.readers[one["sha256"]] -= 1
                if not self.readers[one["sha256"]] and one["sha256"] in self.ours:
                    cache.drop(one)


class _Reader(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        """Says a path for each line that comes, and at the end an empty one; "-" for no stream, and an error behind a "!"."""
        source = self.server.streams.get(self.rfile.readline().decode().strip())
        if not source:
            self.wfile.write(b"-\n\n")
            return
        try:
            place = places.of(source)
            for path, one in sorted(sources.entries(sources.locked()[source.name]).items()):
                with self.server.lent(File(source, place, path, one["sha256"], one["size"])) as link:
                    self.wfile.write(f"{link}\n".encode())
                    if not self.rfile.readline():
                        return
            self.wfile.write(b"\n")
        except YourTurn as error:
            self.wfile.write(f"!{error.problem}; {error.remedy}\n".encode())
        except ConnectionError:
            return  # the training has ended
