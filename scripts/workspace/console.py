"""What people read, on stderr: stages with their time and result, tables, progress. A bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class Stage:
    result = ""


def say(line: str = "") -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str) -> Generator[Stage]:
    """Says what was done and how long it took, once the block has ended well: set `.result` in it."""
    stage, begin = Stage(), time.monotonic()
    if sys.stderr.isatty():
        print(f"  {name:<10} …", end="\r", file=sys.stderr, flush=True)
    yield stage
    say(f"  {name:<10} {stage.result:<64} {time.monotonic() - begin:6.1f} s")


def table(columns: list[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints rows in columns as wide as their widest cell; a long cell is never cut."""
    cells = [columns, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            say("  " + "  ".join("─" * width for width in widths))


class Progress:
    """A bar on a terminal; elsewhere a line for each tenth of the way. Use it as a context."""

    def __init__(self, what: str):
        self.what, self._bar = what, None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, total: int, note: str) -> None:
        if sys.stderr.isatty():
            self._bar = self._bar or self._start_bar()
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, note=note)
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
