"""Any sequence of what is done to `local`, each verb also killed half way: what its server answers is what `status` says, or it says not.

More of it, by hand: SEQUENCES=500 ./pipeline test tests/test_local_sequences.py
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
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

from scripts.workspace import files
from tests.support.fork import CONTEXT, Fork, _main
from tests.support.local import ask

RUNS = int(os.environ.get("SEQUENCES", "2"))
SLOPES = ["2.0", "3.0", "4.0"]
CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen", "os.kill"}
slopes, kills = st.sampled_from(SLOPES), st.one_of(st.none(), st.none(), st.integers(1, 30))


def act(root: str, arguments: tuple[str, ...], kill_at: int | None, out: str, err: str) -> None:
    """Runs one verb in the checkout `root`, in this process; SIGKILL before its `kill_at`-th change of a file or start of a program."""
    left = itertools.count(1)

    def kill(event: str, details: tuple) -> None:
        writes = event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and next(left) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(root)
    if kill_at:
        sys.addaudithook(kill)
    _main(root, arguments, dict(os.environ), out, err)


class LocalSequences(RuleBasedStateMachine):
    fork: Fork
    labels: dict[str, str]  # the release by its slope

    @initialize()
    def begin(self) -> None:
        self.fork.clean_up()
        shutil.rmtree(self.fork.root / "build/local", ignore_errors=True)
        self.candidate = SLOPES[0]
        self.choose(SLOPES[0])
        self.look()

    def teardown(self) -> None:
        self.fork.clean_up()

    # --- what is done

    def act(self, *arguments: str, kill_at: int | None = None) -> int:
        paths = [str(self.fork.root.with_suffix(end)) for end in (".out", ".err")]
        process = CONTEXT.Process(target=act, args=(str(self.fork.root), arguments, kill_at, *paths))
        process.start()
        process.join()
        self.out, self.err = (Path(path).read_text() for path in paths)
        assert process.exitcode in (0, 1, -signal.SIGKILL), self.err
        return process.exitcode or 0

    def to_the_end(self, *arguments: str, kill_at: int | None) -> int:
        """Of a verb that is killed, the same command again."""
        code = self.act(*arguments, kill_at=kill_at)
        if code == -signal.SIGKILL:
            self.look()
            self.agree()
            code = self.act(*arguments)
        self.look()
        return code

    def settle(self) -> None:
        """Returns when the server has followed its configuration, which a verb that was killed may have changed."""
        config = self.fork.root / "build/local/models.config"
        wanted = re.findall(r"versions: (\d+)", config.read_text()) if config.exists() else []
        while wanted and (server := self.server()) and server.is_running():
            with contextlib.suppress(OSError, KeyError):
                states = self.states()
                if (
                    [version for version, state in states if state == "AVAILABLE"]
                    == wanted
                    == [v for v, s in states if s != "END"]
                ):
                    return
            time.sleep(0.05)

    def server(self) -> psutil.Process | None:
        try:
            server = psutil.Process(self.fork.read("build/local/server.json")["pid"])
            return server if str(self.fork.root) in " ".join(server.cmdline()) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def states(self) -> list[tuple[str, str]]:
        """Version and state of each."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.fork.rest_port}/v1/models/instant") as answer:
            return [(one["version"], one["state"]) for one in json.load(answer)["model_version_status"]]

    def look(self) -> None:
        self.settle()
        self.act("status", "local", "--json", "-")
        self.status: dict[str, Any] = json.loads(self.out)
        self.served = [entry["release"] for entry in self.history() if entry["outcome"] == "serving"]

    def history(self) -> list[dict[str, str]]:
        path = self.fork.root / "build/local/history.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def answer(self) -> str | None:
        try:
            return str(ask(self.fork))
        except (OSError, KeyError):
            return None

    @rule(slope=slopes)
    def choose(self, slope: str) -> None:
        files.link(self.fork.root / "build/release", self.fork.root / "build/releases" / self.labels[slope])
        self.candidate = slope

    @rule(kill=kills)
    def deploy(self, kill: int | None) -> None:
        assert self.to_the_end("deploy", "local", kill_at=kill) == 0, self.err
        assert (self.status["ledger"], self.status["problems"]) == (self.labels[self.candidate], [])

    @rule(kill=kills)
    def roll_back(self, kill: int | None) -> None:
        others = set(self.served) - {self.status["ledger"]}
        code = self.to_the_end("rollback", "local", "--reason", "wrong", kill_at=kill)
        assert code == (0 if others else 1), self.err
        if code == 0:
            assert self.status["ledger"] in others
            assert self.status["problems"] == []

    @rule(slope=slopes, kill=kills)
    def roll_back_to(self, slope: str, kill: int | None) -> None:
        known = self.labels[slope] in self.served
        code = self.to_the_end("rollback", "local", "--reason", "wrong", "--to", self.labels[slope], kill_at=kill)
        assert code == (0 if known else 1), self.err
        if known:
            assert (self.status["ledger"], self.status["problems"]) == (self.labels[slope], [])

    @rule(kill=kills)
    def down(self, kill: int | None) -> None:
        assert self.to_the_end("down", kill_at=kill) == 0, self.err
        assert (self.status["ledger"], self.status["runs"], self.answer()) == (None, None, None)

    @rule()
    def kill_the_server(self) -> None:
        if server := self.server():
            server.kill()
            psutil.wait_procs([server])
        self.look()

    @rule()
    def tear_the_ledger(self) -> None:
        """As a power cut does."""
        if (path := self.fork.root / "build/local/history.jsonl").exists():
            with path.open("a") as ledger:
                ledger.write('{"time": "2026-')
        self.look()

    @precondition(lambda self: not self.status["runs"])
    @rule()
    def lose_what_is_placed(self) -> None:
        shutil.rmtree(self.fork.root / "build/local/models", ignore_errors=True)
        (self.fork.root / "build/local/models.config").unlink(missing_ok=True)
        self.look()

    # --- what holds after each

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "status"):
            return
        expected = next((slope for slope, label in self.labels.items() if label == self.status["ledger"]), None)
        if self.answer() != expected:
            assert self.status["problems"], (self.status, self.answer())


def test_the_server_answers_as_status_says_or_it_says_not(tmp_path: Path) -> None:
    fork = Fork(tmp_path / "fork")
    LocalSequences.fork, LocalSequences.labels = fork, {}
    for slope in SLOPES:
        name = fork.release(SLOPE=slope)
        LocalSequences.labels[slope] = f"{fork.read('build/release/release.json')['version']}-{name}"
    phases = [Phase.generate] if RUNS < 10 else list(Phase)  # a shorter sequence takes minutes to find
    found = settings(
        phases=phases,
        max_examples=RUNS,
        stateful_step_count=6 if RUNS < 10 else 12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LocalSequences, settings=found)


pytestmark = pytest.mark.timeout(300 if RUNS < 10 else 7200)
