"""Windows in which an environment takes no release: read, refused where they cannot be meant, kept by promote, deploy and `ci`."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.workspace import windows
from tests.support.fork import Fork
from tests.test_promote import push, release

WEEKEND = "Fri 16:00 – Mon 08:00 Europe/Berlin"
HOLIDAYS = "2026-12-20 – 2027-01-02"
WRONG = {
    "no window": ("weekends", "'weekends' is no window: 'Fri 16:00 – Mon 08:00 Europe/Berlin', "),
    "no zone": ("Fri 16:00 – Mon 08:00", "has no zone: put one behind it, such as Europe/Berlin or UTC"),
    "no zone of days": (HOLIDAYS, "has no zone: put one behind it"),
    "no such zone": ("Fri 16:00 – Mon 08:00 Europe/Bärlin", "this machine knows no time zone 'Europe/Bärlin'"),
    "no such day": ("2026-02-30 – 2026-03-01 UTC", "has no such day or hour: 2026-02-30"),
    "no such hour": ("Fri 25:00 – Mon 08:00 UTC", "has no such day or hour: Fri 25:00"),
    "no hour": ("Fri – Mon UTC", "needs a day and an hour on both sides, such as Fri 16:00 – Mon 08:00"),
    "a day and a date": ("Fri 16:00 – 2026-12-01 08:00 UTC", "needs a day and an hour on both sides"),
    "backwards": ("2027-01-02 – 2026-12-20 UTC", "ends before it begins"),
    "empty": ("2026-12-20 08:00 – 2026-12-20 08:00 UTC", "never opens, or never closes: it ends when it begins"),
    "a whole week": ("Mon 08:00 – Mon 08:00 UTC", "never opens, or never closes: it ends when it begins"),
}
# In UTC: when it is asked, and when the door opens.
OPENS = {
    "before the weekend": ([WEEKEND], "2026-11-27 14:59", None),
    "from its first minute": ([WEEKEND], "2026-11-27 15:00", "2026-11-30 07:00"),
    "until its last": ([WEEKEND], "2026-11-30 06:59", "2026-11-30 07:00"),
    "after it": ([WEEKEND], "2026-11-30 07:00", None),
    "summer time ends meanwhile": ([WEEKEND], "2026-10-24 12:00", "2026-10-26 07:00"),
    "in summer": ([WEEKEND], "2026-07-03 14:00", "2026-07-06 06:00"),
    "the zone of its neighbour, both days included": ([WEEKEND, HOLIDAYS], "2026-12-23 00:00", "2027-01-04 07:00"),
    "a range of hours": (["2026-12-20 18:00–2026-12-21 6:00 UTC"], "2026-12-20 20:00", "2026-12-21 06:00"),
    "two that meet": (
        ["Mon 00:00 - Tue 00:00 UTC", "Tue 00:00 - Wed 12:00 UTC"],
        "2026-11-30 01:00",
        "2026-12-02 12:00",
    ),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("name", OPENS)
def test_when_it_opens(name: str) -> None:
    texts, now, expected = OPENS[name]
    assert windows.opens(windows.read(texts), at(now)) == (expected and at(expected))


@pytest.mark.parametrize("defect", WRONG)
def test_a_window_that_cannot_be_meant(defect: str) -> None:
    text, expected = WRONG[defect]
    with pytest.raises(windows.Wrong) as failure:
        windows.read([text])
    assert expected in str(failure.value)


def test_windows_that_together_leave_no_hour() -> None:
    with pytest.raises(windows.Wrong, match="closes every hour of every week: it never opens"):
        windows.read(["Mon 00:00 – Fri 00:00 UTC", "Thu 00:00 – Mon 06:00 Europe/Berlin"])


def freeze() -> str:
    """The setting: since yesterday and until tomorrow."""
    today = datetime.now(UTC).date()
    return f'freeze = ["{today - timedelta(1)} – {today + timedelta(1)} UTC"], '


@pytest.fixture
def closed(tmp_path: Path) -> Fork:
    """Staging is closed; dev has release 1."""
    fork = Fork(tmp_path / "fork")
    fork.edit("pyproject.toml", "staging = { ", f"staging = {{ {freeze()}")
    fork.commit("closed")
    push(fork, release(1))
    verb(fork, "promote", "dev")
    return fork


def verb(fork: Fork, *arguments: str, code: int = 0, out: bool = False) -> str:
    """Standard error, or output, of a verb that needs no TensorFlow, and no cluster that is there."""
    command, variables = [sys.executable, "-m", "scripts", *arguments], os.environ | {"KUBECONFIG": "/nowhere"}
    done = subprocess.run(command, cwd=fork.root, env=variables, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if out else done.stderr


def ledger(fork: Fork) -> list[dict]:
    return [e for e in json.loads(verb(fork, "history", "staging", "--json", "-", out=True)) if e["action"] != "edit"]


def test_the_door_is_closed_and_a_reason_opens_it(closed: Fork) -> None:
    error = verb(closed, "promote", "staging", code=1)
    opens = datetime.now(UTC).date() + timedelta(2)
    assert error.startswith(f"error: staging is closed until {opens:%a %Y-%m-%d} 00:00 UTC, by `freeze` in ")
    assert 'next: wait, or ./pipeline promote staging --override "REASON"' in error
    assert ledger(closed) == []
    verb(closed, "promote", "staging", "--override", "it is down")
    (entry,) = ledger(closed)
    assert (entry["action"], entry["override"]) == ("promote", "it is down")
    assert "no usable kubeconfig for staging" in verb(closed, "deploy", "staging", code=1), "and deploy goes on"


def test_a_deployment_of_what_was_promoted_before(closed: Fork) -> None:
    closed.edit("pyproject.toml", freeze(), "")
    verb(closed, "promote", "staging")
    closed.git("restore", "pyproject.toml")
    assert "staging is closed until" in verb(closed, "deploy", "staging", code=1)
    assert "no usable kubeconfig" in verb(closed, "rollback", "staging", "--reason", "it is down", code=1), "is free"
    assert "ledger     says why, though" in verb(closed, "deploy", "staging", "--override", "it must", code=1)
    promote, override = ledger(closed)
    assert (promote["action"], override["action"], override["override"]) == ("promote", "override", "it must")
    assert override["release"] == promote["release"]
    assert closed.git("status", "--porcelain", "--untracked-files=no") == ""
    head = closed.git("rev-parse", "HEAD")
    verb(closed, "deploy", "staging", code=1)
    assert closed.git("rev-parse", "HEAD") == head, "once is enough"


def test_an_override_of_an_earlier_freeze_is_none(closed: Fork) -> None:
    verb(closed, "promote", "staging", "--override", "then")
    closed.git("commit", "-q", "--amend", "--no-edit", seconds=1_750_000_000)
    assert "staging is closed until" in verb(closed, "deploy", "staging", code=1)


def test_ci_is_red_for_what_a_closed_environment_would_get(closed: Fork) -> None:
    verb(closed, "promote", "staging", "--override", "x")
    closed.git("commit", "-q", "--amend", "--no-edit", seconds=1_750_000_000)
    closed.git("branch", "base")
    good = json.dumps({"lint": {"result": "success"}})
    verb(closed, "conclude", good, "--since", "base")
    closed.edit("k8s/overlays/production/replicas.yaml", "replicas: 3", "replicas: 4")
    closed.commit("elsewhere")
    verb(closed, "conclude", good, "--since", "base")
    closed.edit("k8s/overlays/staging/replicas.yaml", "replicas: 2", "replicas: 4")
    closed.commit("here")
    assert "what this changes is refused now: staging is closed until" in verb(
        closed, "conclude", good, "--since", "base", code=1
    )
