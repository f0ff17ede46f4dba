"""What a delivery is made of: a release with the manifests around it, and a place where one release at a time is served."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from scripts.environments.client import Endpoint
from scripts.ledger.entries import Entry
from scripts.release.releases import Release


@dataclass(frozen=True)
class Target:
    """What is brought to an environment: a release, and the revision of the manifests around it where there are any."""

    release: Release
    revision: str = ""

    def is_same(self, other: "Target") -> bool:
        return (self.release.label, self.revision) == (other.release.label, other.revision)


class Environment(Protocol):
    """A place where one release at a time is served."""

    name: str

    def exclusively(self, verb: str) -> AbstractContextManager:
        """Keeps other deployers out; raises YourTurn if one is at work."""

    def history(self) -> list[Entry]:
        """The ledger, oldest first."""

    def record(self, entry: Entry, target: Target | None) -> None:
        """Adds to the ledger; on disk when it returns."""

    def ledger(self) -> str | None:
        """The release (VERSION-NAME) that should be served; None before the first and after `down`."""

    def served(self) -> list[str]:
        """The releases that were verified there, oldest first."""

    def candidate(self) -> Target | None:
        """What `deploy` brings; None where nothing was promoted yet."""

    def before(self) -> Target | None:
        """What was verified there last: what is put back when a deployment fails."""

    def find(self, which: str, with_manifests: bool = False) -> Target:
        """The release that the ledger, or a person, calls `which`: with the manifests of today, or with those it served with last.

        Raises YourTurn if it is gone.
        """

    def interrupted(self) -> Entry | None:
        """What was started there and has not come to an end; its `release` is what it was to bring."""

    def finish(self) -> None:
        """Forgets what was started, where that is noted elsewhere than in the ledger: it has come to an end."""
        return

    def prepare(self, target: Target) -> None:
        """Raises YourTurn for what is wrong with it already here, before anything is touched or noted."""

    def obstacle(self, target: Target) -> str | None:
        """Why it could not be brought there now, although it once was: its image is gone. None where nothing is known to be in the way."""

    def check_record(self, target: Target) -> None:
        """Raises YourTurn if the ledger could not be brought to say that `target` serves."""
        return

    def touched(self) -> bool:
        """Whether this process has left anything changed there."""
        return False

    def apply(self, target: Target) -> None:
        """Serves it; returns once it is available. Raises Failed if the release is to blame that it will not be, else YourTurn."""

    def settle(self, target: Target) -> None:
        """Removes what `target`, now verified, has no more use for."""

    def endpoints(self) -> AbstractContextManager[list[Endpoint]]:
        """Every server that answers for this environment."""

    def running(self) -> str | None:
        """Which release (VERSION-NAME) runs there now; None if nothing does."""

    def drift(self) -> list[str]:
        """How what is there differs from what was committed, beyond the release; a line each."""
