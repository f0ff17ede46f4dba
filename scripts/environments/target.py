"""The two sides of a delivery: a release with the manifests around it, and an environment, which serves one release at a time."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from scripts.environments.client import Endpoint
from scripts.ledger.entries import Entry
from scripts.release.releases import Release


@dataclass(frozen=True)
class Target:
    """A release to bring to an environment, and the revision of the manifests around it, if there are any."""

    release: Release
    revision: str = ""

    def is_same(self, other: "Target") -> bool:
        return (self.release.label, self.revision) == (other.release.label, other.revision)


class Servers(Protocol):
    """Model servers of one release, in the environment called `name`."""

    name: str

    def endpoints(self) -> AbstractContextManager[list[Endpoint]]:
        """Every server that answers there."""


class Environment(Servers, Protocol):
    """A place where one release at a time is served."""

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
        """The target that `deploy` brings; None before the first promotion."""

    def before(self) -> Target | None:
        """The target verified there last, which is put back when a deployment fails."""

    def find(self, which: str, with_manifests: bool = False) -> Target:
        """The release that the ledger, or a person, calls `which`: with today's manifests, or with those of its last deployment.

        Raises YourTurn if it is gone.
        """

    def interrupted(self) -> Entry | None:
        """The act that was started there and not finished; its `release` is the one it was to bring."""

    def finish(self) -> None:
        """Notes that the started act is finished, where the ledger itself does not."""
        return

    def taken_back(self, target: Target) -> str:
        """Why the environment once left `target`, if the ledger does not say so any more; else empty."""
        return ""

    def prepare(self, target: Target) -> None:
        """Raises YourTurn for defects that show on this computer, before anything is touched or noted."""

    def refuse_share(self, target: Target) -> None:
        """Raises YourTurn for a canary of `target` that cannot be."""
        return

    def try_out(self, target: Target) -> str:
        """Lets `target` meet a share of the requests, where the settings say so; what was seen, in words. Raises Failed if it is worse."""
        return ""

    def obstacle(self, target: Target) -> str | None:
        """Why `target`, which served once, cannot be brought back: its image is gone. None if no obstacle is known."""

    def check_record(self, target: Target) -> None:
        """Raises YourTurn if the ledger could not record that `target` serves."""
        return

    def touched(self) -> bool:
        """Whether this process has left anything changed there."""
        return False

    def apply(self, target: Target) -> None:
        """Serves `target`; returns once it is available. If it cannot be, raises Failed if the release is to blame, else YourTurn."""

    def settle(self, target: Target) -> None:
        """Removes what `target`, now verified, has no more use for."""

    def running(self) -> str | None:
        """Which release (VERSION-NAME) runs there now; None if nothing does."""

    def drift(self) -> list[str]:
        """Differences between the environment and the commit, beyond the release; a line each."""
