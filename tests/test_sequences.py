"""Any sequence of what is done to an environment, each verb also killed half way: git and the cluster agree, or status says not.

More of it, by hand: SEQUENCES=500 ./pipeline test tests/test_sequences.py
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import stage
from tests.support.fork import CONTEXT, Fork
from tests.test_promote import OVERLAY, release

RUNS = int(os.environ.get("SEQUENCES", "6"))
BAD = "444444444444"  # the release that crashes
numbers, reasons = st.integers(1, 4), st.sampled_from(["", "", "on purpose"])
kills = st.one_of(st.none(), st.none(), st.integers(1, 60))


def label(number: int) -> str:
    return f"{1_750_000_000 + number}-{f'{number:x}' * 12}"


class Sequences(RuleBasedStateMachine):
    template: Fork

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.template.root.parent))
        self.fork = self.template.copy(self.folder / "fork")
        self.fork.git("update-index", "--no-assume-unchanged", "pyproject.toml")
        self.fork.git("checkout", "-q", "--", "pyproject.toml")
        self.seen = self.look()
        self.clones = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    # --- what is done

    def act(self, verb: str, kill_at: int | None = None, **arguments: Any) -> int:
        target = (str(self.fork.root), str(self.folder), [BAD], kill_at, verb, arguments)
        process = CONTEXT.Process(target=stage.act, args=target)
        process.start()
        process.join()
        assert process.exitcode is not None
        assert process.exitcode in (0, 1, stage.REFUSED, -signal.SIGKILL), self.output()
        assert "Traceback" not in self.output(), self.output()
        return process.exitcode

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def look(self) -> dict[str, Any]:
        assert self.act("look") == 0, self.output()
        return json.loads((self.folder / "look.json").read_text())

    def after(self) -> dict[str, Any]:
        """What is there now, once what was there before is known."""
        self.before, self.seen = self.seen, self.look()
        return self.seen

    @rule(number=numbers, reason=reasons, kill=kills)
    def promote(self, number: int, reason: str, kill: int | None) -> None:
        name = label(number).partition("-")[2]
        refused = name in self.seen["taken_back"] and not reason
        code = self.act("promote", kill, document=release(number), reason=reason)
        after = self.after()
        if refused or code == -signal.SIGKILL:
            assert after["ledger"] in (self.before["ledger"], label(number))
            assert not refused or after["ledger"] == self.before["ledger"]
        else:
            assert (code, after["ledger"]) == (0, label(number)), self.output()
            assert name not in after["taken_back"]
        if code == -signal.SIGKILL:  # the same command again goes on
            assert self.act("promote", document=release(number), reason=reason) == (stage.REFUSED if refused else 0), (
                self.output()
            )
            self.after()

    @rule(kill=kills)
    def deploy(self, kill: int | None) -> None:
        code, said = self.act("deploy", kill), self.output()
        after = self.after()
        if code == 0:
            assert after["running"] == after["ledger"] or after["ledger"] is None, said
            name = (after["ledger"] or "").partition("-")[2]
            assert name not in self.before["left"] or self.before["because"], said
            assert name not in after["left"]
        if self.before["ledger"] and self.before["ledger"].endswith(BAD) and code == 1:
            assert after["running"] != self.before["ledger"] or "no other release" in said

    @rule(kill=kills)
    def roll_back(self, kill: int | None) -> None:
        code = self.act("rollback", kill, reason="wrong")
        after, before = self.after(), self.before["ledger"]
        if code == 0:
            assert after["running"] == after["ledger"], self.output()
            assert before == after["ledger"] or before is None or before.partition("-")[2] in after["taken_back"]

    @rule()
    def revert(self) -> None:
        """The newest commit, as GitHub's button does it."""
        if self.git("rev-parse", "--verify", "HEAD^"):
            self.git("revert", "--no-edit", "HEAD") or self.git("revert", "--abort")
        after, before = self.after(), self.before["ledger"]
        if before and after["ledger"] != before:
            assert after["history"][-1][0] == "revert"
            assert before.partition("-")[2] in after["taken_back"]

    @rule()
    def edit(self) -> None:
        path = self.fork.root / OVERLAY / "kustomization.yaml"
        path.write_text(f"# edited\n{path.read_text()}")
        self.fork.commit("an edit")
        self.keeps_the_ledger()

    @rule()
    def reword(self) -> None:
        self.fork.git("commit", "-q", "--amend", "--allow-empty", "-m", "reworded")
        self.keeps_the_ledger()

    @precondition(lambda self: len(self.seen["history"]) > 3)
    @rule()
    def squash(self) -> None:
        self.fork.git("reset", "-q", "--soft", "HEAD~2")
        self.fork.git("commit", "-q", "--allow-empty", "-m", "squashed")
        after = self.after()
        assert after["ledger"] == self.before["ledger"]

    @precondition(lambda self: len(self.seen["history"]) > 3)
    @rule(commits=st.integers(1, 2))
    def lose(self, commits: int) -> None:
        """As a force-push does."""
        self.fork.git("reset", "-q", "--hard", f"HEAD~{commits}")
        after = self.after()
        assert after["left"] == self.before["left"]

    @rule(on=st.booleans())
    def hook(self, on: bool) -> None:
        path = self.fork.root / ".git/hooks/prepare-commit-msg"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if on:
            path.write_text("#!/bin/sh\nprintf '\\n\\nA paragraph of its own.\\n' >> $1\n")
            path.chmod(0o755)

    @rule()
    def clone(self) -> None:
        self.clones += 1
        root = self.folder / f"clone-{self.clones}"
        subprocess.run(["git", "clone", "-q", self.fork.root, root], check=True)
        (root / ".venv").symlink_to(self.template.root / ".venv")
        self.fork.root = root
        self.keeps_the_ledger()

    def keeps_the_ledger(self) -> None:
        after = self.after()
        assert (after["ledger"], after["taken_back"]) == (self.before["ledger"], self.before["taken_back"])

    def git(self, *arguments: str) -> bool:
        try:
            self.fork.git(*arguments)
        except subprocess.CalledProcessError:
            return False
        return True

    # --- what holds after each

    @invariant()
    def git_and_the_cluster_agree_or_status_says_not(self) -> None:
        seen = getattr(self, "seen", None)
        if seen and seen["ledger"] != seen["running"]:
            assert seen["problems"]

    @invariant()
    def nothing_is_staged_or_edited(self) -> None:
        if hasattr(self, "fork"):
            assert self.fork.git("status", "--porcelain", "--", OVERLAY) == "", self.output()


def test_git_and_the_cluster_agree_or_status_says_not(tmp_path: Path) -> None:
    Sequences.template = Fork(tmp_path / "fork")
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    phases = [Phase.generate] if RUNS < 10 else list(Phase)  # a shorter sequence takes minutes to find
    found = settings(
        phases=phases, max_examples=RUNS, stateful_step_count=8, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Sequences, settings=found)


pytestmark = pytest.mark.timeout(300 if RUNS < 10 else 7200)
