"""A line of an environment's ledger: what was done there, with which release, and how it ended."""

import datetime
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A line of an environment's ledger. `release` is VERSION-NAME."""

    time: str  # ISO 8601, UTC
    action: str  # promote, deploy, rollback, return, down or edit
    release: str
    outcome: str  # promoted, started, serving, failed or stopped
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
