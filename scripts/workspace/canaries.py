"""How a new release meets a little traffic before it meets all: the table `canary` of an environment in pyproject.toml."""

from dataclasses import dataclass, field, fields
from typing import Any

MINUTES = 40  # of all steps together: a workflow's login to its cloud lasts an hour
QUIET = ["take-back", "go-on"]


class Wrong(ValueError):
    """A canary that makes no sense; the message says why."""


@dataclass(frozen=True)
class Canary:
    """The steps, and the bounds beyond which the new release is taken back."""

    steps: list[int] = field(default_factory=list)  # % of the requests, one step after the other
    minutes: float = 10  # of each step
    requests: float = 100  # to each model, on either side, in each step: fewer are too little traffic
    errors: float = 1  # % of its requests that the new release may fail beyond those that the old one fails
    slower: float = 1.5  # times as slow as the old one's may the new one's answers be
    quiet: str = "take-back"  # with too little traffic; or "go-on", which says so in the ledger


def read(table: Any) -> Canary:
    """Parses the table. Raises Wrong."""
    known = [one.name for one in fields(Canary)]
    if not isinstance(table, dict) or (unknown := next((key for key in table if key not in known), None)):
        there = f"has {unknown!r}; there is" if isinstance(table, dict) else "must be a table of"
        raise Wrong(f"{there}: {', '.join(known)}")
    canary = Canary(**table)
    _check_steps(canary.steps)
    for name, least in (("minutes", 0), ("requests", 1), ("errors", 0), ("slower", 1)):
        value = getattr(canary, name)
        if type(value) not in (int, float) or not least <= value < float("inf"):
            raise Wrong(f"{name} must be a number from {least} on, not {value!r}")
    if canary.quiet not in QUIET:
        raise Wrong(f"quiet must be {' or '.join(map(repr, QUIET))}, not {canary.quiet!r}")
    if (total := canary.minutes * len(canary.steps)) > MINUTES:
        raise Wrong(f"takes {total:g} minutes in all, and a workflow's login to its cluster lasts {MINUTES}")
    return canary


def _check_steps(steps: Any) -> None:
    good = isinstance(steps, list) and steps and all(type(step) is int and 0 < step < 100 for step in steps)
    if not good or sorted(set(steps)) != steps:
        raise Wrong(f"steps must be shares of the requests that grow, in %, such as [5, 25], not {steps!r}")
