"""Bringing a release to an environment, and back: the same steps whether that is a process on this computer or a cluster."""

import shlex

from scripts.environments import returning
from scripts.environments.answers import verify
from scripts.environments.refusals import Failed
from scripts.environments.target import Environment, Target
from scripts.ledger import entries
from scripts.ledger.entries import Entry
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def deliver(environment: Environment, target: Target, action: str, reason: str, without_return: bool = False) -> None:
    """Applies and verifies `target`; if the release fails, puts back what served before, and raises YourTurn.

    Everything that both need is checked before anything is touched. If the release is not to blame for a failure, nothing is put back: the
    same command again goes on.
    """
    environment.prepare(target)
    if action != "deploy":
        environment.check_record(target)
    before = None if without_return else returning.prepare(environment, target, action)
    _record(environment, action, target, "started", reason)
    saw = ""
    try:
        saw = environment.try_out(target) if action == "deploy" and before else ""
        _apply(environment, target, action)
    except Failed as error:
        _record(environment, action, target, "failed", ": ".join(filter(None, (reason, error.problem))))
        _put_back(environment, action, target, before, error)
    except YourTurn as error:
        if not environment.touched():
            raise
        problem = f"{error.problem}; {environment.name} was being changed to release {target.release.name}, and nothing was put back"
        raise YourTurn(problem, f"{error.remedy}; the same command again goes on") from error
    try:
        environment.settle(target)
    finally:  # the release serves, even if the tidying up failed
        _record_served(environment, "canary" if saw else action, target, saw or reason)
    environment.finish()


def _apply(environment: Environment, target: Target, action: str) -> None:
    with console.stage(action) as stage:
        environment.apply(target)
        stage.result = f"{environment.name}: release {target.release.name}, version {target.release.version}"
    with console.stage("verify") as stage:
        stage.result = verify(environment, target.release)


def _put_back(environment: Environment, action: str, failed: Target, before: Target | None, error: Failed) -> None:
    console.say(f"  failed     {error.problem}")
    if not before:
        environment.finish()
        problem = (
            f"{error.problem}; there is no other release to put back, and {environment.name} is left with this one"
        )
        raise YourTurn(problem, error.remedy) from error
    try:
        _apply(environment, before, "return")
    except YourTurn as second:
        problem = f"{error.problem}; and what served before could not be put back: {second.problem}"
        reason = shlex.quote(f"{failed.release.label} failed")
        again = f"./pipeline rollback {environment.name} --to {before.release.label} --reason {reason}"
        raise YourTurn(problem, f"{second.remedy}; then {again}") from second
    _record_served(environment, "return", before, f"{failed.release.label} failed: {error.problem}")
    environment.settle(before)
    environment.finish()
    remedy = error.remedy + (_again(environment, failed) if action == "deploy" else "")
    raise YourTurn(f"{error.problem}; release {before.release.name} serves again", remedy) from error


def _again(environment: Environment, failed: Target) -> str:
    """What comes before another deployment of `failed`, where the ledger has left it: by itself that would bring the one put back."""
    present = environment.candidate()
    if not present or present.release.name == failed.release.name:
        return ""
    again = f"./pipeline promote {environment.name} --release {failed.release.name}"
    return f"; the ledger has left release {failed.release.name}: {again} comes first, if it is not to blame"


def _record_served(environment: Environment, action: str, target: Target, reason: str) -> None:
    """Raises YourTurn if the ledger cannot be written; the message says what has been done already."""
    try:
        _record(environment, action, target, "serving", reason)
    except YourTurn as error:
        name, label = environment.name, target.release.label
        problem = f"{name} serves release {label}, verified, but the ledger does not say so: {error.problem}"
        again = f"./pipeline rollback {name} --to {label} --reason {shlex.quote(reason or action)}"
        raise YourTurn(problem, f"{error.remedy}; {again} then writes it") from error


def _record(environment: Environment, action: str, target: Target, outcome: str, reason: str) -> None:
    environment.record(Entry(entries.now(), action, target.release.label, outcome, reason), target)


def stop(environment: Environment) -> None:
    """Notes in the ledger that nothing is meant to be served."""
    if served := environment.ledger():
        environment.record(Entry(entries.now(), "down", served, "stopped"), None)
