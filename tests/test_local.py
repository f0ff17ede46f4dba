"""The environment `local`: deploy, verify, roll back, status and history on a real server, and what goes wrong with them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.fork import Fork, Gate
from tests.support.local import ask, history


def test_the_whole_cycle(served: Fork) -> None:
    assert ask(served) == 3.0
    served.ok("verify", "local")
    served.ok("status", "local")
    served.ok("rollback", "local", "--reason", "3x is not what they want")
    assert ask(served) == 2.0
    served.ok("rollback", "local", "--reason", "they do want it")
    assert ask(served) == 3.0
    served.ok("rollback", "local", "--to", served.first, "--reason", "make up your mind")
    assert ask(served) == 2.0
    served.ok("verify", "local")
    assert history(served) == [("deploy", "serving")] * 2 + [("rollback", "serving")] * 3
    shown = served.ok("history", "local", "--json", "history.json").out
    assert "they do want it" in shown
    assert [entry["action"] for entry in served.read("history.json") if entry["outcome"] == "serving"][-1] == "rollback"
    served.ok("down")
    served.ok("status", "local", "--json", "status.json")
    assert served.read("status.json") == {
        "environment": "local",
        "configured": True,
        "ledger": None,
        "runs": None,
        "answers": None,
        "problems": [],
    }


def test_a_release_that_answers_wrong_is_returned(served: Fork) -> None:
    """The golden answer is made wrong after the export: the model and its files are whole."""
    served.release(SLOPE="4.0")
    served.edit("build/release/release.json", "            40.0", "            41.0")
    result = served.run("deploy", "local")
    assert result.code == 1
    assert (
        "instant: example 1 by REST: y[0][0] is 40.0, not 41.0; instant: example 1 by gRPC: y[0][0] is 40.0, not 41.0"
        in result.err
    )
    assert f"release {served.second} serves again" in result.err
    assert ask(served) == 3.0
    assert history(served)[-2:] == [("deploy", "failed"), ("return", "serving")]
    served.ok("status", "local")


def test_a_release_that_does_not_load_is_returned(served: Fork) -> None:
    served.release(SLOPE="4.0")
    document = served.read("build/release/release.json")
    path = served.root / f"build/release/models/instant/{document['version']}/saved_model.pb"
    path.write_bytes(b"no graph")
    from scripts.workspace.files import sha256

    document["models"][0]["files"]["saved_model.pb"] = sha256(path)
    (served.root / "build/release/release.json").write_text(json.dumps(document))
    result = served.run("deploy", "local")
    assert result.code == 1
    assert f"instant version {document['version']} does not load: " in result.err
    assert ask(served) == 3.0


def test_a_first_release_that_fails_says_that_there_is_no_other(fork: Fork) -> None:
    fork.release()
    fork.edit("build/release/release.json", "            20.0", "            21.0")
    result = fork.run("deploy", "local")
    assert "there is no other release to put back" in result.err
    result = fork.run("rollback", "local", "--reason", "it is wrong")
    assert result.err.splitlines()[0] == "error: local has nothing to roll back to: no release has ever served there"


def test_a_deployer_killed_before_it_noted_its_server_leaves_none(fork: Fork) -> None:
    """One that nobody knows of would take the ports of the next, once it had imported TensorFlow."""
    fork.release()
    killed = (
        "import os; from scripts.environments import local; local.files.write_json = lambda *_: os.kill(os.getpid(), 9)"
    )
    deployer = [sys.executable, "-c", f"{killed}; local.read().start()"]
    assert subprocess.run(deployer, cwd=fork.root).returncode == -signal.SIGKILL
    servers = [p for p in psutil.process_iter() if str(fork.root) in " ".join(_command_line(p))]
    _, alive = psutil.wait_procs(servers, timeout=60)
    for server in alive:
        server.kill()
    assert not alive


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_taken_port_is_named_with_its_owner(fork: Fork) -> None:
    fork.release()
    with socket.create_server(("127.0.0.1", fork.rest_port)):
        result = fork.run("deploy", "local")
    assert result.code == 1
    assert f"port {fork.rest_port} is taken by " in result.err
    assert f"(process {os.getpid()})" in result.err
    assert "set rest_port in [tool.pipeline] of pyproject.toml" in result.err


def test_two_at_once_one_wins_and_the_other_says_so(
    fork: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    gate = Gate(fork, tmp_path, "def fit(")
    first = fork.warm().start("up")
    with gate.reached():
        result = fork.run("up")
        named = re.fullmatch(
            r"error: \./pipeline up \(process (\d+)\) is at work here\n"
            r"  next: wait for it to end, then the same command again\n",
            result.err,
        )
        assert named, result.err
        assert psutil.Process(int(named[1])).cwd() == str(fork.root)
    _, err = first.communicate()
    assert first.returncode == 0, err
    assert result.code == 1
