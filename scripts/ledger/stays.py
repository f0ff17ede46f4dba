"""The times for which one release stood in an environment's ledger: each begins with the act that brought it, and ends with the next."""

import itertools
from dataclasses import dataclass

from scripts.ledger.entries import Entry
from scripts.ledger.history import NO_RELEASE


@dataclass(frozen=True)
class Stay:
    entries: list[Entry]  # the act, then what was changed around the release while it stayed
    before: str | None  # the release that stood there before
    after: Entry | None  # the act that ended it

    @property
    def act(self) -> Entry:
        return self.entries[0]

    @property
    def release(self) -> str:
        return self.act.release

    def failure(self) -> str:
        """Why the release was put back as soon as it was tried, as the ledger says; empty if it was not."""
        failed = f"{self.release} failed: "
        returned = self.after and self.after.action == "return" and self.after.reason.startswith(failed)
        return self.after.reason.removeprefix(failed) if self.after and returned else ""


def of(entries: list[Entry]) -> list[Stay]:
    """The stays in `entries`, which are oldest first; times without a release are left out."""
    runs = [list(run) for _, run in itertools.groupby(entries, key=lambda entry: entry.release)]
    around = zip([None, *runs], runs, [*runs[1:], None], strict=False)
    return [
        Stay(run, before[0].release if before else None, after[0] if after else None)
        for before, run, after in around
        if run[0].release != NO_RELEASE
    ]
