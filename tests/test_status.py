"""status on `local`: a server that was killed and a deployment that was interrupted are said, and the next command goes on."""

import json
import os
import signal

import psutil
import pytest

from tests.support.fork import Fork
from tests.support.local import ask


def test_a_killed_server_shows_in_status_and_up_recovers(served: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")  # no image is made
    pid = served.read("build/local/server.json")["pid"]
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [])
    result = served.run("status", "local")
    assert result.code == 1
    assert "it runs nothing, and should run " in result.out
    assert result.err.endswith("error: local is not as its ledger says\n  next: ./pipeline up\n")
    assert served.run("verify", "local").code == 1
    served.ok("up")
    assert ask(served) == 3.0
    served.ok("status", "local")


def test_an_interrupted_deploy_shows_in_status_and_the_next_goes_on(served: Fork) -> None:
    """As if the deployer had been killed between its first note and its last."""
    third = served.release(SLOPE="4.0")
    ledger = served.root / "build/local/history.jsonl"
    last = json.loads(ledger.read_text().splitlines()[-1])
    version = served.read("build/release/release.json")["version"]
    rollback = last | {"action": "rollback", "outcome": "started", "reason": "it is wrong"}
    with ledger.open("a") as file:
        file.write(json.dumps(rollback | {"release": f"{version}-{third}"}) + "\n")
    assert served.run("status", "local").err.endswith("  next: ./pipeline rollback local --reason 'it is wrong'\n")
    with ledger.open("a") as file:
        file.write(json.dumps(last | {"release": f"{version}-{third}", "outcome": "started"}) + '\n{"time": "2026-')
    result = served.run("status", "local")
    assert result.code == 1
    assert f"the deploy of {version}-{third} at {last['time']} was interrupted" in result.out
    served.ok("deploy", "local")
    assert ask(served) == 4.0
    served.ok("status", "local")
