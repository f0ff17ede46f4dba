"""The order of a delivery's acts, whatever fails in it: what is put back, what the ledger says, and the next command to the letter."""

from pathlib import Path

import pytest

from scripts.environments import delivery
from scripts.environments.refusals import Failed
from scripts.environments.target import Environment, Target
from scripts.ledger.entries import Entry
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn

OLD, NEW = (Target(Release(Path(), {"version": n, "id": str(n) * 64, "models": []})) for n in (1, 2))
STARTED = ("deploy", "2-222222222222", "started")
FAILED = ("deploy", "2-222222222222", "failed")
RETURNED = ("return", "1-111111111111", "serving")
CRASHES, AWAY = Failed("it crashes", "mend it"), YourTurn("the cluster is away", "look at it")


class Place(Environment):
    """Serves OLD. `defects` are raised by the act so called: "apply 2-222222222222", "record serving", "settle", "obstacle"."""

    name = "dev"

    def __init__(self, **defects: YourTurn):
        self.defects, self.noted, self.applied, self.finished = defects, [], [], False

    def _do(self, act: str) -> None:
        if defect := self.defects.get(act):
            raise defect

    def before(self) -> Target:
        return OLD

    def candidate(self) -> Target:
        return OLD if RETURNED in self.noted else NEW

    def obstacle(self, target: Target) -> str | None:
        return self.defects["obstacle"].problem if "obstacle" in self.defects else None

    def touched(self) -> bool:
        return bool(self.applied)

    def apply(self, target: Target) -> None:
        self.applied.append(target.release.version)
        self._do(f"apply_{target.release.version}")

    def settle(self, target: Target) -> None:
        self._do("settle")

    def record(self, entry: Entry, target: Target | None) -> None:
        self._do(f"record_{entry.outcome}")
        self.noted.append((entry.action, entry.release, entry.outcome))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture(autouse=True)
def all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "verify", lambda environment, release: "all right")


def delivered(place: Place, action: str = "deploy", **options: bool) -> str:
    """The error that it ends with, if it does."""
    try:
        delivery.deliver(place, NEW, action, "why" * (action != "deploy"), **options)
    except YourTurn as error:
        return error.render()
    return ""


def test_a_release_that_fails_is_put_back() -> None:
    place = Place(apply_2=CRASHES)
    assert delivered(place) == (
        "error: it crashes; release 111111111111 serves again\n"
        "  next: mend it; the ledger has left release 222222222222: "
        "./pipeline promote dev --release 222222222222 comes first, if it is not to blame"
    )
    assert (place.applied, place.noted, place.finished) == ([2, 1], [STARTED, FAILED, RETURNED], True)


def test_what_is_not_the_release_s_fault_puts_nothing_back_and_stays_begun() -> None:
    place = Place(apply_2=AWAY)
    assert delivered(place) == (
        "error: the cluster is away; dev was being changed to release 222222222222, and nothing was put back\n"
        "  next: look at it; the same command again goes on"
    )
    assert (place.applied, place.noted, place.finished) == ([2], [STARTED], False)


def test_where_neither_can_be_had_the_command_for_the_night_is_named() -> None:
    place = Place(apply_2=CRASHES, apply_1=AWAY)
    again = "./pipeline rollback dev --to 1-111111111111 --reason '2-222222222222 failed'"
    assert delivered(place) == (
        "error: it crashes; and what served before could not be put back: the cluster is away\n"
        f"  next: look at it; then {again}"
    )
    assert (place.noted, place.finished) == ([STARTED, FAILED], False)


@pytest.mark.parametrize("action", ["deploy", "rollback"])
def test_a_ledger_that_cannot_be_written_is_said_with_what_writes_the_right_one(action: str) -> None:
    place = Place(record_serving=YourTurn("the disk is full", "make room"))
    reason = "deploy" if action == "deploy" else "why"
    again = f"./pipeline rollback dev --to 2-222222222222 --reason {reason}"
    assert delivered(place, action) == (
        "error: dev serves release 2-222222222222, verified, but the ledger does not say so: the disk is full\n"
        f"  next: make room; {again} then writes it"
    )


def test_what_serves_is_in_the_ledger_though_the_tidying_up_failed() -> None:
    place = Place(settle=AWAY)
    assert delivered(place).startswith("error: the cluster is away\n")
    assert place.noted[-1] == ("deploy", "2-222222222222", "serving")


def test_a_way_back_that_is_missing_stops_a_deployment_before_anything_is_touched_and_no_rollback() -> None:
    place = Place(obstacle=YourTurn("its image is lost", ""))
    assert delivered(place) == (
        "error: what serves in dev now could not be put back: its image is lost\n"
        "  next: mend that; or do without, if it has to be: ./pipeline deploy dev --without-return"
    )
    assert (place.applied, place.noted) == ([], [])
    assert delivered(place, "rollback") == ""
    place = Place(obstacle=YourTurn("its image is lost", ""), apply_2=CRASHES)
    assert delivered(place, without_return=True).startswith("error: it crashes; there is no other release to put back")
    assert (place.applied, place.finished) == ([2], True)
