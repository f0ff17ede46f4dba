"""The environment `local`: deploy, verify, roll back, status and history on a real server, and what goes wrong with them."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest

from scripts.environments import verification
from scripts.environments.client import Endpoint
from scripts.release.releases import Release
from tests.support.fork import Fork, Gate


def ask(fork: Fork, value: float = 1.0) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", fork.rest_port, timeout=10)
    connection.request("POST", "/v1/models/instant:predict", json.dumps({"instances": [[value]]}))
    return json.loads(connection.getresponse().read())["predictions"][0][0]


def history(fork: Fork) -> list[tuple[str, str]]:
    """(action, outcome) of each line of the ledger, without the starts."""
    lines = (fork.root / "build/local/history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(entry["action"], entry["outcome"]) for entry in entries if entry["outcome"] != "started"]


@pytest.fixture
def served(fork: Fork) -> Fork:
    """2x and then 3x are deployed; `fork.first` and `fork.second` are their names."""
    fork.first = fork.release(SLOPE="2.0")
    fork.ok("deploy", "local")
    fork.second = fork.release(SLOPE="3.0")
    fork.ok("deploy", "local")
    return fork


def test_many_examples_share_requests_and_the_wrong_one_is_named(served: Fork) -> None:
    document = served.read("build/release/release.json")
    (example,) = document["models"][0]["examples"][:1]
    batch = {"inputs": {"x": [[1.0], [2.0]]}, "outputs": {"y": [[3.0], [6.0]]}, "tolerance": 0.001}
    wrong = batch | {"outputs": {"y": [[3.0], [7.0]]}}
    document["models"][0]["examples"] = [*[example] * 30, *[batch] * 40, wrong, *[batch] * 40]
    endpoint = Endpoint("127.0.0.1", served.rest_port, served.grpc_port)
    before = requests_of(served)
    assert verification.problems(endpoint, Release(served.root, document)) == [
        "instant: example 71 by REST: y[1][0] is 6.0, not 7.0",
        "instant: example 71 by gRPC: y[1][0] is 6.0, not 7.0",
    ]
    assert requests_of(served) - before < 2 * 111 / 3


def requests_of(fork: Fork) -> int:
    """How many the server has answered, as its metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fork.rest_port}/monitoring/prometheus/metrics") as answer:
        lines = [
            line
            for line in answer.read().decode().splitlines()
            if line.startswith(":tensorflow:serving:request_count{")
        ]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


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


def test_rollback_fails_no_request(served: Fork) -> None:
    """Four clients loop all along; each answer is that of one of the two releases."""
    answers, failures, stop = [], [], threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(served))
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=loop) for _ in range(4)]
    for client in clients:
        client.start()
    for reason in ("there", "and back", "and there"):
        served.ok("rollback", "local", "--reason", reason)
    stop.set()
    for client in clients:
        client.join()
    assert not failures
    assert len(answers) > 100
    assert set(answers) == {2.0, 3.0}
    assert ask(served) == 2.0


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


def test_rollback_refuses(served: Fork) -> None:
    def refusal(*arguments: str) -> str:
        result = served.run("rollback", "local", *arguments)
        assert result.code == 1
        return result.err.splitlines()[0]

    assert refusal() == "error: a rollback needs a reason: whoever reads the history will ask"
    assert refusal("--reason", " ") == "error: a rollback needs a reason: whoever reads the history will ask"
    assert refusal("--reason", "x", "--to", "fffffffff") == "error: release fffffffff is not in build/releases"
    third = served.release(SLOPE="4.0")
    assert refusal("--reason", "x", "--to", third) == f"error: release {third} has never served in local"
    shutil.rmtree(next((served.root / "build/releases").glob(f"*-{served.first}")))
    assert f"-{served.first} is not in build/releases" in refusal("--reason", "x")
    assert ask(served) == 3.0
    served.ok("rollback", "local", "--reason", "x", "--to", third, "--force")
    assert ask(served) == 4.0


def test_only_one_release_leaves_nothing_to_roll_back_to(fork: Fork) -> None:
    fork.release()
    fork.ok("deploy", "local")
    result = fork.run("rollback", "local", "--reason", "x")
    assert (
        result.err.splitlines()[0] == "error: local has nothing to roll back to: only one release has ever served there"
    )


def test_a_killed_server_shows_in_status_and_up_recovers(served: Fork) -> None:
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
    with ledger.open("a") as file:
        file.write(json.dumps(last | {"release": f"{version}-{third}", "outcome": "started"}) + '\n{"time": "2026-')
    result = served.run("status", "local")
    assert result.code == 1
    assert f"the deploy of {version}-{third} at {last['time']} was interrupted" in result.out
    served.ok("deploy", "local")
    assert ask(served) == 4.0
    served.ok("status", "local")


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


def test_two_at_once_one_wins_and_the_other_says_so(fork: Fork, tmp_path: Path) -> None:
    gate = Gate(fork, tmp_path, "def fit(")
    first = fork.start("up")
    with gate.reached():
        result = fork.run("up")
    _, err = first.communicate()
    assert first.returncode == 0, err
    assert result.code == 1
    assert result.err == (
        f"error: ./pipeline up (process {first.pid}) is at work here\n  next: wait for it to end, then the same command again\n"
    )
