"""A line of an environment's ledger: the action, the release, and the outcome."""

import datetime
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A line of an environment's ledger. Releases are VERSION-NAME."""

    time: str  # ISO 8601, UTC
    action: str  # promote, deploy, canary, rollback, return, down, override; by hand: revert or edit
    release: str
    outcome: str  # promoted, started, serving, failed or stopped
    reason: str = ""
    override: str = ""  # the reason to deploy while the environment was closed
    commit: str = ""  # where the ledger is git's
    taken_back: dict[str, str] = field(default_factory=dict)  # releases that come back only with a reason: why, by name
    push: str = ""  # the commit whose workflow run promoted its release
    on: str = ""  # the commit that the entry was made on, whatever becomes of its own commit

    def to_dict(self) -> dict[str, Any]:
        """The fields that people look for in an entry."""
        present = {key: value for key, value in asdict(self).items() if key not in ("taken_back", "push", "on")}
        return {key: value for key, value in present.items() if value or key not in ("override", "commit")}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
