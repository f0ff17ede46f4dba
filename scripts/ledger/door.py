"""Whether an environment takes a release now: its windows of `freeze` in the settings, and the overrides in its ledger.

A rollback is always allowed.
"""

import datetime

from scripts.ledger.entries import Entry
from scripts.ledger.overlays import Overlay
from scripts.workspace import settings, windows
from scripts.workspace.errors import YourTurn


def closed(environment: str) -> str:
    """Until when `environment` is closed, in words; empty if it is open."""
    until = windows.opens(settings.read().freeze(environment), datetime.datetime.now(datetime.UTC))
    return f"{environment} is closed until {until:%a %Y-%m-%d %H:%M %Z}" if until else ""


def refuse(environment: str, command: str, override: str) -> None:
    """Raises YourTurn if `environment` is closed, unless `override` gives a reason to deploy all the same."""
    if not override.strip() and (words := closed(environment)):
        problem = f"{words}, by `freeze` in [tool.pipeline.environments]; a rollback is free"
        raise YourTurn(problem, f'wait, or ./pipeline {command} {environment} --override "REASON"')


def is_overridden(environment: str, revision: str = "HEAD") -> bool:
    """Whether the ledger has an override for its present release from this same freeze."""
    last: Entry | None = next(reversed(Overlay(environment).history(revision)), None)
    if not last or not last.override:
        return False
    freeze, now = settings.read().freeze(environment), datetime.datetime.now(datetime.UTC)
    return windows.opens(freeze, datetime.datetime.fromisoformat(last.time)) == windows.opens(freeze, now)
