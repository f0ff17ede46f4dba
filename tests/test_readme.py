"""The README's two journeys, as a newcomer pastes them: five minutes without Docker, and the environments on a cluster of one's own."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator

import docker
import pytest

from scripts.environments import node
from tests.conftest import requires
from tests.support.fork import ROOT, Fork


def block(verb: str) -> list[str]:
    """The lines of the README's block that has this verb, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    (found,) = (block for block in blocks if verb in block)
    return [line.partition("  #")[0].strip() for line in found.splitlines()]


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("readme") / "fork")
    fork.git("config", "user.name", "newcomer")
    fork.git("config", "user.email", "newcomer@example.com")
    yield fork.warm()  # test_up.py has the first `up` as it is
    subprocess.run(["./pipeline", "down"], cwd=fork.root, capture_output=True)
    fork.clean_up()


def test_the_whole_cycle_in_five_minutes(fork: Fork) -> None:
    environment = os.environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    results = [
        subprocess.run(["bash", "-c", line], cwd=fork.root, env=environment, capture_output=True, text=True)
        for line in block("rollback local")
    ]
    codes = [result.returncode for result in results]
    assert codes == [0, 0, 1, 0, 0, 0, 0, 0, 0], [result.stderr for result in results]
    assert "the exported model answers example 1 wrongly: y[0][0] is " in results[2].stderr
    assert re.search(r"rollback .* serving .*trying it out", results[7].stdout)
    assert "right" in results[8].stdout


@pytest.mark.timeout(900)
def test_the_environments(fork: Fork) -> None:
    try:
        docker.from_env().ping()
        socket.create_connection(node.REGISTRY.split(":"), timeout=2).close()
    except (docker.errors.DockerException, OSError) as error:
        requires("cluster", f"needs an engine, and a registry at {node.REGISTRY}: {error}")
    script = "\n".join(["set -ex", *block("rollback staging")])
    done = subprocess.run(["bash", "-c", script], cwd=fork.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"rollback .*serving .*wrong for small x", fork.ok("history", "staging").out)
