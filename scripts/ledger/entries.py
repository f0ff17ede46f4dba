"""A line of an environment's ledger: what was done there, with which release, and how it ended."""

import datetime
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A line of an environment's ledger. Releases are VERSION-NAME."""

    time: str  # ISO 8601, UTC
    action: str  # promote, deploy, rollback, return, down, override; by hand: revert or edit
    release: str
    outcome: str  # promoted, started, serving, failed or stopped
    reason: str = ""
    override: str = ""  # why it was let in while the environment was closed
    taken_back: dict[str, str] = field(default_factory=dict)  # what comes back only with a reason: names, and why

    def to_dict(self) -> dict[str, Any]:
        """What people look for in it."""
        present = {key: value for key, value in asdict(self).items() if key != "taken_back"}
        return {key: value for key, value in present.items() if value or key != "override"}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
