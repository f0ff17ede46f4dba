"""Bringing a release to an environment, and back: the same steps whether that is a process on this computer or a cluster."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from scripts.environments import verification
from scripts.environments.client import Endpoint
from scripts.ledger import entries
from scripts.ledger.entries import Entry
from scripts.release.releases import Release
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


class NotApplied(YourTurn):
    """Nothing was changed, and the release is not to blame: there is nothing to put back."""


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

    def find(self, which: str) -> Target:
        """The release that the ledger, or a person, calls `which`. Raises YourTurn if it is gone."""

    def prepare(self, target: Target) -> None:
        """Raises YourTurn for what is wrong with it already here, before anything is touched or noted."""

    def apply(self, target: Target) -> None:
        """Serves it; returns once it is available, and raises YourTurn with the reason if it will not be."""

    def settle(self, target: Target) -> None:
        """Removes what `target`, now verified, has no more use for."""

    def endpoints(self) -> AbstractContextManager[list[Endpoint]]:
        """Every server that answers for this environment."""

    def running(self) -> str | None:
        """Which release (VERSION-NAME) runs there now; None if nothing does."""

    def drift(self) -> list[str]:
        """How what is there differs from what was committed, beyond the release; a line each."""


def deliver(environment: Environment, target: Target, action: str, reason: str) -> None:
    """Applies and verifies `target`; if either fails, puts back what served before, and raises YourTurn."""
    environment.prepare(target)
    _record(environment, action, target, "started", reason)
    try:
        _apply(environment, target, action)
    except NotApplied as error:
        _record(environment, action, target, "failed", error.problem)
        raise
    except YourTurn as error:
        _record(environment, action, target, "failed", error.problem)
        _put_back(environment, target, error)
    _record(environment, action, target, "serving", reason)
    environment.settle(target)


def _apply(environment: Environment, target: Target, action: str) -> None:
    with console.stage(action) as stage:
        environment.apply(target)
        stage.result = f"{environment.name}: release {target.release.name}, version {target.release.version}"
    with console.stage("verify") as stage:
        stage.result = verify(environment, target.release)


def verify(environment: Environment, release: Release) -> str:
    """Asks every endpoint every golden example. Raises YourTurn with every wrong answer."""
    with environment.endpoints() as endpoints:
        problems = ask(endpoints, release)
    if problems or not endpoints:
        raise YourTurn(
            f"{environment.name} does not serve release {release.name}: {'; '.join(problems) or 'no server is ready'}",
            f"./pipeline status {environment.name}",
        )
    examples = sum(len(model["examples"]) for model in release.models)
    return f"{examples} examples by REST and gRPC on {len(endpoints)} server{'s' * (len(endpoints) > 1)}: all right"


def ask(endpoints: list[Endpoint], release: Release) -> list[str]:
    """Everything that is wrong with the answers, in words; all servers are asked at once."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(lambda endpoint: verification.problems(endpoint, release), endpoints))
    return [
        f"{e.name}: {problem}" if e.name else problem
        for e, many in zip(endpoints, found, strict=True)
        for problem in many
    ]


def _put_back(environment: Environment, failed: Target, error: YourTurn) -> None:
    console.say(f"  failed     {error.problem}")
    try:
        before = _other(environment.before(), failed)
        if before:
            _apply(environment, before, "return")
    except YourTurn as second:
        problem = f"{error.problem}; and what served before could not be put back: {second.problem}"
        raise YourTurn(problem, f"./pipeline rollback {environment.name} --to RELEASE") from second
    if not before:
        raise YourTurn(f"{error.problem}; there is no other release to put back", error.remedy) from error
    _record(environment, "return", before, "serving", f"{failed.release.label} failed: {error.problem}")
    environment.settle(before)
    raise YourTurn(f"{error.problem}; release {before.release.name} serves again", error.remedy) from error


def _other(before: Target | None, failed: Target) -> Target | None:
    return None if before is None or before.is_same(failed) else before


def _record(environment: Environment, action: str, target: Target, outcome: str, reason: str) -> None:
    environment.record(Entry(entries.now(), action, target.release.label, outcome, reason), target)


def stop(environment: Environment) -> None:
    """Notes in the ledger that nothing is meant to be served."""
    if served := environment.ledger():
        environment.record(Entry(entries.now(), "down", served, "stopped"), None)


def target_of_rollback(environment: Environment, to: str | None, force: bool) -> Target:
    """The release called `to`, or the one that served before the one that should. Raises YourTurn if there is none."""
    served = environment.served()
    if to:
        target = environment.find(to)
        if target.release.label not in served and not force:
            problem = f"release {to} has never served in {environment.name}"
            raise YourTurn(problem, f"./pipeline history {environment.name}, and choose one that has; or add --force")
        return target
    present = environment.ledger()
    earlier = [label for label in served if label != present]
    if not earlier:
        count = "only one release has" if served else "no release has"
        problem = f"{environment.name} has nothing to roll back to: {count} ever served there"
        raise YourTurn(problem, f"./pipeline history {environment.name}")
    return environment.find(earlier[-1])
