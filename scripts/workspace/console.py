"""Output for people. A verb's result goes to standard output; stages, progress and errors go to standard error.

A terminal gets a progress bar, a pipe plain lines: no colour, no box, one row a line.
"""

import json
import os
import shutil
import sys
import textwrap
import time
from argparse import ArgumentParser
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.workspace import files

# The person's working folder, from the launcher. Taken out of the environment: child processes run elsewhere.
FOLDER = os.environ.pop("PIPELINE_FOLDER", "")
LEAST = 20  # characters of a folded column: a narrower table is not readable


class Stage:
    result = ""


def say(line: str = "") -> None:
    """Prints progress, or the next step, to standard error."""
    print(line, file=sys.stderr, flush=True)


def tell(line: str = "") -> None:
    """Prints the verb's result to standard output."""
    print(line, flush=True)


def path(text: str) -> Path:
    """A path that the person typed, relative to the person's working folder."""
    return Path(FOLDER, text)


def add_json(parser: ArgumentParser, note: str = "") -> None:
    text = f"write it there as well, as JSON{note}; - is standard output, in place of the table"
    parser.add_argument("--json", metavar="FILE", help=text)


def write_json(file: str | None, document: Any) -> bool:
    """Writes `document` to the file of --json. Returns whether the table is wanted: not if the JSON goes to standard output."""
    if file == "-":
        tell(json.dumps(document, indent=2, allow_nan=False))
    elif file:
        files.write_json(path(file), document)
    return file != "-"


@contextmanager
def stage(name: str) -> Generator[Stage]:
    """Prints the stage's result and duration once the block has ended well: set `.result` in it."""
    stage, begin = Stage(), time.monotonic()
    if sys.stderr.isatty():
        print(f"  {name:<10} …", end="\r", file=sys.stderr, flush=True)
    yield stage
    say(f"  {name:<10} {stage.result:<64} {time.monotonic() - begin:6.1f} s")


def folded(line: str, indent: int) -> str:
    """The line within a terminal's width, its further parts indented; in a pipe a line stays one."""
    if not sys.stdout.isatty():
        return line
    return textwrap.fill(line, shutil.get_terminal_size().columns, subsequent_indent=" " * indent)


def table(columns: list[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints rows in columns as wide as their widest cell. On a terminal the last column is folded; in a pipe a row is a line."""
    cells = [columns, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        for line in _folded(row, widths):
            tell("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            tell("  " + "  ".join("-" * width for width in [*widths[:-1], min(widths[-1], _room(widths))]))


def _room(widths: list[int]) -> int:
    """Characters that a terminal's line leaves to the last column."""
    return max(shutil.get_terminal_size().columns - sum(width + 2 for width in widths[:-1]) - 2, LEAST)


def _folded(row: list[str], widths: list[int]) -> Iterator[list[str]]:
    *others, last = row
    lines = textwrap.wrap(last, _room(widths)) if sys.stdout.isatty() else [last]
    yield [*others, *(lines[:1] or [""])]
    yield from ([""] * len(others) + [line] for line in lines[1:])


class Progress:
    """A bar on a terminal; elsewhere a line for each tenth of the way. Use it as a context manager."""

    def __init__(self, what: str):
        self.what, self._bar = what, None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, total: int | None, note: str) -> None:
        """Shows `done` of `total`, which is None if it is unknown."""
        if sys.stderr.isatty():
            self._bar = self._bar or self._start_bar()
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, note=note)
        elif not total:
            say(f"  {self.what:<10} {done}  {note}")
        elif done == total or done * 10 // total > (done - 1) * 10 // total:
            say(f"  {self.what:<10} {done}/{total}  {note}")

    def _start_bar(self):
        from rich import console, progress  # 0.1 s, and only a terminal needs it

        columns = [
            "  {task.description:<10}",
            progress.BarColumn(40),
            progress.MofNCompleteColumn(),
            "{task.fields[note]}",
        ]
        bar = progress.Progress(*columns, console=console.Console(stderr=True), transient=True)
        bar.add_task(self.what, note="")
        bar.start()
        return bar
