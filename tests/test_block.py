"""A release that must go nowhere any more: promote, deploy and rollback refuse it, until the block is taken back."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.environments import returning
from scripts.environments.target import Target
from scripts.release.releases import Release
from tests.support.fork import Fork
from tests.test_freeze import verb
from tests.test_promote import push, release

ONE = "111111111111"
FILE = "k8s/overlays/blocked.json"
WHY = ("--reason", "it leaks")


@pytest.fixture
def fork(tmp_path: Path) -> Fork:
    """Dev has release 1, and origin is a repository beside it."""
    fork = Fork(tmp_path / "fork")
    push(fork, release(1))
    verb(fork, "promote", "dev")
    subprocess.run(["git", "clone", "-q", "--bare", fork.root, tmp_path / "origin.git"], check=True)
    fork.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    return fork


def test_it_goes_nowhere_any_more_and_where_it_serves_is_said(fork: Fork) -> None:
    told = verb(fork, "block", ONE, *WHY, out=True)
    assert told == f"release {ONE} still serves in dev; next: ./pipeline rollback dev --reason 'it leaks'\n"
    assert json.loads(fork.git("show", f"HEAD:{FILE}")) == {ONE: "it leaks"}
    assert fork.git("status", "--porcelain", "--untracked-files=no") == ""
    refused = f"error: release {ONE} is blocked (it leaks), and staging is not to have it\n  next: another release, or "
    assert verb(fork, "promote", "staging", code=1).startswith(refused)
    assert verb(fork, "promote", "staging", "--publish", code=1).startswith(refused)
    assert f"release {ONE} is blocked (it leaks), and dev is not" in verb(fork, "deploy", "dev", code=1)
    assert f"error: release {ONE} cannot come back: it is blocked (it leaks)\n" in verb(
        fork, "rollback", "dev", "--to", ONE, *WHY, code=1
    )
    forced = verb(fork, "rollback", "dev", "--to", ONE, *WHY, "--force", code=1)
    assert "no usable kubeconfig" in forced, "and goes on"
    verb(fork, "unblock", f"1750000001-{ONE}", "--reason", "it does not")
    assert fork.git("ls-files", FILE) == "", "nothing is blocked: there is no file"
    verb(fork, "promote", "staging")


def test_a_rollback_passes_a_blocked_release_by(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1, 2 and 3, which served in this order, 2 is blocked."""
    labels = {f"175000000{number}-{str(number) * 12}": number for number in (1, 2, 3)}
    dev = SimpleNamespace(
        name="dev",
        interrupted=lambda: None,
        served=lambda: list(labels),
        ledger=lambda: list(labels)[-1],
        find=lambda label, with_manifests: Target(Release(fork.root, release(labels[label]))),
        obstacle=lambda target: None,
    )
    monkeypatch.chdir(fork.root)
    assert returning.target_of_rollback(dev, None, False, False).release.name == "2" * 12
    (fork.root / FILE).write_text(json.dumps({"2" * 12: "it leaks"}))
    fork.commit("blocked")
    assert returning.target_of_rollback(dev, None, False, False).release.name == ONE


def test_twice_commits_once_and_another_reason_takes_its_place(fork: Fork) -> None:
    verb(fork, "block", ONE, *WHY)
    head = fork.git("rev-parse", "HEAD")
    assert "is blocked already" in verb(fork, "block", ONE, *WHY)
    assert fork.git("rev-parse", "HEAD") == head
    verb(fork, "block", ONE, "--reason", "it crashes")
    assert json.loads(fork.git("show", f"HEAD:{FILE}")) == {ONE: "it crashes"}


def test_published_it_counts_for_others_before_they_have_it(fork: Fork) -> None:
    head = fork.git("rev-parse", "HEAD")
    verb(fork, "block", ONE, *WHY, "--publish")
    assert fork.git("rev-parse", "HEAD") == head, "the checkout stays as it is"
    assert json.loads(fork.git("show", f"origin/main:{FILE}")) == {ONE: "it leaks"}
    assert "is blocked (it leaks)" in verb(fork, "promote", "staging", "--publish", code=1)
    verb(fork, "unblock", ONE, "--reason", "no", "--publish")
    assert fork.git("ls-tree", "origin/main", FILE) == ""


BAD = {
    "no reason": (("block", ONE), "error: a block needs a reason: whoever meets it will ask\n"),
    "no reason to take it back": (("unblock", ONE), "error: taking a block back needs a reason\n"),
    "no such release": (("block", "777", *WHY), "error: release 777 is in no ledger of this clone\n"),
    "not blocked": (("unblock", ONE, *WHY), f"error: no blocked release '{ONE}'; there is: none\n"),
}


@pytest.mark.parametrize("defect", BAD)
def test_bad_input(fork: Fork, defect: str) -> None:
    arguments, expected = BAD[defect]
    assert verb(fork, *arguments, code=1).startswith(expected)


def test_a_file_that_nobody_can_read_blocks_everything(fork: Fork) -> None:
    (fork.root / FILE).write_text("{")
    fork.commit("by hand")
    assert f"error: {FILE} is corrupt: " in verb(fork, "promote", "staging", code=1)
    (fork.root / FILE).write_text("[]")
    fork.commit("by hand")
    assert f"error: {FILE} is no mapping of releases to reasons" in verb(fork, "promote", "staging", code=1)
