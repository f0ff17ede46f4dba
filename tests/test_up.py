"""up: the README's first command, as a new user types it."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.support.fork import INSTANT, Fork, Gate
from tests.support.local import ask


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory):
    """A fork of the repository as it is, with its default model, after `./pipeline up`."""
    fork = Fork(tmp_path_factory.mktemp("up") / "fork")
    fork.first = fork.command("up")
    yield fork
    fork.clean_up()


def test_answers_y_is_2x_to_the_line_it_prints(up: Fork) -> None:
    assert up.first.returncode == 0, up.first.stderr
    command = re.search(r"^  (curl .*)$", up.first.stdout, flags=re.M).group(1)
    answer = json.loads(subprocess.run(shlex.split(command), capture_output=True, check=True).stdout)
    assert [value for [value] in answer["predictions"]] == pytest.approx([20, 40, 60], abs=0.05)


def test_shows_each_stage_with_its_time(up: Fork) -> None:
    stages = re.findall(r"^  ([\w-]+) .* \d+\.\d s$", up.first.stderr, flags=re.M)
    contained = [] if "  image      skipped: " in up.first.stderr else ["image", "test-image"]
    assert stages == ["check", "train", "evaluate", "export", *contained, "deploy", "verify"]
    assert "  train      25/50  loss " in up.first.stderr
    assert "\x1b" not in up.first.stderr  # plain lines where there is no terminal


def test_leaves_a_server_that_holds_no_terminal_and_no_pipe(up: Fork) -> None:
    process = psutil.Process(up.read("build/local/server.json")["pid"])
    assert process.terminal() is None
    assert os.getsid(process.pid) == process.pid
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{process.pid}/fd/{number}") in ("/dev/null", str(up.root / "build/local/server.log"))


def test_a_second_one_reuses_everything(up: Fork) -> None:
    before = up.read("build/local/server.json")
    second = up.warm().command("up")
    assert second.returncode == 0
    assert "reused     release " in second.stderr
    assert "already served; 2 examples by REST and gRPC on 1 server: all right" in second.stderr
    assert "train " not in second.stderr
    assert up.read("build/local/server.json") == before


def test_the_verbs_in_another_clone_write_the_same_bytes(up: Fork, tmp_path: Path) -> None:
    """`up` runs its stages in processes forked from one that imported TensorFlow; each verb imports it anew."""
    other = Fork(tmp_path / "other")
    for verb in ("train", "evaluate", "export"):
        done = other.command(verb)
        assert done.returncode == 0, done.stderr
    here, there = (fork.read("build/release/release.json") | {"commit": None} for fork in (up, other))
    assert any(path.endswith("variables.data-00000-of-00001") for path in here["models"][0]["files"])
    assert here == there, "each file's hash, and each golden answer; the commits differ in the ports"


@pytest.fixture
def fork(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> Fork:
    """Without an engine: what follows is not about images, of which each `up` would build and test one."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    return fork


def test_a_release_of_a_dirty_tree_is_made_anew_once_it_is_committed(fork: Fork) -> None:
    fork.write_model(SLOPE="5.0")
    fork.ok("up")
    assert fork.read("build/release/release.json")["dirty"] is True
    dirty = fork.read("build/release/release.json")
    fork.commit("five")
    result = fork.ok("up")
    assert "train      instant: reused" in result.err
    clean = fork.read("build/release/release.json")
    assert (clean["id"], clean["dirty"]) == (dirty["id"], False)


def test_what_was_rolled_back_does_not_return_by_itself(served: Fork) -> None:
    """But when it is asked for, and then it stays."""
    served.ok("rollback", "local", "--reason", "too steep")
    said = served.ok("up")
    assert f"  skipped    release {served.second} was rolled back in local (too steep): it comes back only" in said.err
    assert (ask(served), served.run("status", "local").code) == (2.0, 0)
    for verb in ("deploy", "verify"):
        assert (
            f"curl -d '{{\"instances\": [[10.0]]}}' http://localhost:{served.rest_port}/"
            in served.ok(verb, "local").out
        )
    assert "already served" in served.ok("up").err
    assert ask(served) == 3.0


STAGES = {  # where Ctrl-C comes: in this function of the model, which is called first in that stage
    "train": "def fit(",
    "evaluate": "def metrics(",
    "export": "def serving(",
}


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_leaves_nothing_half_done_and_the_next_goes_on(fork: Fork, tmp_path: Path, stage: str) -> None:
    gate = Gate(fork, tmp_path, STAGES[stage])
    process = fork.warm().start("up")
    with gate.reached():
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted: nothing is half-written; the same command again goes on" in err
    assert "Traceback" not in err
    assert not (fork.root / "build/release").exists()
    assert not (fork.root / "build/local/server.json").exists()  # the server had nothing to serve
    fork.write_model()
    fork.ok("up")
    fork.ok("status", "local")


def test_ctrl_c_while_deploying_is_mended_by_the_next(fork: Fork) -> None:
    fork.release()
    fork.edit("pyproject.toml", "ready_timeout_seconds = 300", "ready_timeout_seconds = 60")
    process = fork.start("deploy", "local")
    ledger = fork.root / "build/local/history.jsonl"
    while not ledger.exists():  # written just before the server is told
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode in (130, 0)  # 0: it was faster
    fork.ok("deploy", "local")
    fork.ok("status", "local")


def test_a_model_that_is_refused_leaves_the_last_release_serving(fork: Fork) -> None:
    fork.ok("up")
    served = fork.read("build/local/server.json")
    fork.write_model(INSTANT.replace("[[SLOPE]]", "[[SLOPE + 1]]"))
    result = fork.run("up")
    assert result.code == 1
    assert "error: instant is refused: max_absolute_error is 20" in result.err
    assert fork.read("build/local/server.json") == served
    assert psutil.pid_exists(served["pid"])


def test_a_cluster_needs_a_registry_before_anything_is_made(fork: Fork) -> None:
    result = fork.run("up", "--cluster")
    assert (result.code, result.err) == (
        1,
        "error: a cluster pulls from a registry, and none is set\n  next: ./pipeline init --image 127.0.0.1:5000/NAME\n",
    )
    assert not (fork.root / "build").exists()
