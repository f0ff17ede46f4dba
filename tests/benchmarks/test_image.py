"""What an image costs: bytes to push, seconds to build again, seconds to its first right answer."""

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import docker
import pytest

from scripts.environments import verification
from scripts.release import images
from scripts.release.releases import read
from tests.container.conftest import engine, registry, started, wait_until_ready  # noqa: F401  (fixtures)
from tests.support.fork import ROOT, Fork

ROUNDS = 5
with contextlib.chdir(ROOT):
    BASE = images.base()


@pytest.fixture(scope="module")
def fork(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:  # noqa: F811
    fork = Fork(tmp_path_factory.mktemp("image") / "fork")
    fork.release()
    fork.ok("image")
    yield fork
    engine.images.remove(fork.read("build/image.json")["reference"], force=True)


def model_bytes(fork: Fork) -> int:
    return sum(path.stat().st_size for path in (fork.root / "build/release/").rglob("*") if path.is_file())


def test_an_image_is_its_base_and_its_model(fork: Fork, engine: docker.DockerClient) -> None:  # noqa: F811
    image, base = engine.images.get(fork.read("build/image.json")["id"]), engine.images.get(BASE)
    over = image.attrs["Size"] - base.attrs["Size"]
    print(f"\nimage over its base: {over} bytes; the release: {model_bytes(fork)} bytes")
    assert over <= model_bytes(fork) + 64 * 1024


def test_a_new_model_pushes_no_more_than_itself(fork: Fork, registry: Callable) -> None:  # noqa: F811
    with counting_proxy(registry()) as (port, count):
        fork.edit("pyproject.toml", 'image = ""', f'image = "127.0.0.1:{port}/team/model"')
        pushed = []
        for slope in ("5.0", "6.0"):  # the first carries the server along
            fork.release(SLOPE=slope)
            fork.ok("image")
            fork.edit("build/image.json", '"tested": false', '"tested": true')
            before = count()
            fork.ok("push")
            pushed.append(count() - before)
    print(f"\npushed: {pushed[0]} bytes with the server, {pushed[1]} for the next model of {model_bytes(fork)} bytes")
    assert pushed[1] <= model_bytes(fork) + 64 * 1024


@contextlib.contextmanager
def counting_proxy(behind: int) -> Generator:
    """Forwards to the port `behind`; `count()` is the bytes that clients have sent."""
    server, sent = socket.create_server(("127.0.0.1", 0)), [0]

    def copy(source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sent[0] += len(data) * counted
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                upstream = socket.create_connection(("127.0.0.1", behind))
                threading.Thread(target=copy, args=(client, upstream, True), daemon=True).start()
                threading.Thread(target=copy, args=(upstream, client, False), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1], lambda: sent[0]
    finally:
        server.close()


def test_building_an_unchanged_release_costs_two_seconds_over_docker_build(fork: Fork, tmp_path: Path) -> None:
    """docker build of the same files, all of its steps cached, against the whole verb."""
    shutil.copytree(fork.root / "build/release/models", tmp_path / "rootfs/models")
    shutil.copy(fork.root / "serving/Dockerfile", tmp_path)
    command = ["docker", "build", "-q", str(tmp_path)]
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}

    def docker_build() -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def verb() -> None:
        assert fork.command("image").returncode == 0

    bare, ours = (
        statistics.median(times)
        for times in zip(*[(timed(docker_build), timed(verb)) for _ in range(ROUNDS + 1)][1:], strict=True)
    )
    print(f"\n./pipeline image, nothing changed: {ours:.2f} s; docker build, all cached: {bare:.2f} s")
    assert ours <= bare + 2


def test_start_to_first_right_answer(fork: Fork) -> None:
    """Printed, not bound: there is nothing to compare it with here."""
    release, image = read(fork.root / "build/release"), fork.read("build/image.json")["id"]

    def start() -> None:
        with started(image) as (container, endpoint):
            wait_until_ready(container, endpoint, release)
            assert verification.problems(endpoint, release) == []
            times.append(time.perf_counter() - begin)

    times: list[float] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        start()
    print(f"\ncontainer start to first right answer, {BASE}: median {statistics.median(times):.2f} s of {ROUNDS}")


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
