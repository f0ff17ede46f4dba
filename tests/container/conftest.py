"""A container of the image under test, run as production runs it."""

import contextlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
import requests
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from scripts.environments.client import Endpoint, NoAnswer
from scripts.release.releases import Release
from scripts.workspace import settings
from tests.conftest import requires
from tests.support.fork import Fork
from tests.support.ports import free_ports

from .building import base, built, released

__all__ = ["base", "built", "released"]

REGISTRY = "registry:3.0.0"  # as ci.yml has it
# What k8s/base asks for; memory is what the embedded server, TensorFlow and a small model take, with room for requests.
RESTRICTIONS = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "1g",
    "nano_cpus": 1_000_000_000,
}
THREADS_OF_A_LOAD = (
    256  # TensorFlow Serving's pool that measures a model on disk; up to 4 loads for each CPU of the node at once
)
OTHER_THREADS = 512


def threads(models: int) -> int:
    """What a server of so many models may have: the least that a kubelet's podPidsLimit has to allow."""
    return THREADS_OF_A_LOAD * min(models, 4 * (os.cpu_count() or 1)) + OTHER_THREADS


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    from scripts.release import engine as engines
    from scripts.workspace.errors import YourTurn

    try:
        return engines.client()
    except YourTurn as error:
        return requires("docker", error.problem)


@pytest.fixture(scope="session")
def image(
    engine: docker.DockerClient, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The image given by --image, else one built here of a release of the tests' model."""
    if given := request.config.getoption("--image"):
        yield given
        return
    fork = Fork(tmp_path_factory.mktemp("image") / "fork")
    fork.release()
    result = fork.run("image")
    if result.code and "cannot be built" in result.err and "next: see that the" in result.err:
        requires("docker", "the base image can be neither pulled nor found here")
    assert result.code == 0, result.err
    note = fork.read("build/image.json")
    yield note["id"]
    engine.images.remove(note["reference"], force=True)


@pytest.fixture(scope="session")
def volumes(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    models = request.config.getoption("--models")
    return {models: {"bind": "/models", "mode": "ro"}} if models else {}


@pytest.fixture(scope="session")
def release(engine: docker.DockerClient, image: str, volumes: dict) -> Release:
    """The release that the image says it is, or its volume."""
    container = engine.containers.create(image, volumes=volumes)
    try:
        stream, _ = container.get_archive("/models/release.json")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            return Release(Path(), json.load(tar.extractfile("release.json")))
    finally:
        container.remove()


@pytest.fixture(scope="session")
def start(engine: docker.DockerClient, image: str, volumes: dict, release: Release) -> Callable:
    """Starts the image; models in a volume have the memory beside that a server takes for them."""
    extra = sum(2 * int(engine.volumes.get(name).attrs["Labels"]["pipeline.bytes"]) for name in volumes)
    further = {"mem_limit": 2**30 + extra, "pids_limit": threads(len(release.models))}
    further |= {"models": next(iter(volumes), None)}
    return lambda *arguments, **options: started(image, *arguments, **further | options)


@pytest.fixture
def registry(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a registry: "readonly", or with "auth" by the file htpasswd, or by any other configuration of it. Returns its port."""
    containers = []

    def start(further: str = "") -> int:
        port, folder = free_ports()[0], tmp_path / f"registry{len(containers)}"
        folder.mkdir()
        readonly = ", maintenance: {readonly: {enabled: true}}" * (further == "readonly")
        storage = f"storage: {{filesystem: {{rootdirectory: {folder}}}{readonly}}}"
        htpasswd = f"{{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}"
        auth = f"auth: {htpasswd if further == 'auth' else further}" if further not in ("", "readonly") else ""
        config = folder.with_suffix(".yml")
        config.write_text(
            f"version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\n{storage}\nhttp: {{addr: ':5000'}}\n{auth}\n"
        )
        # Its files are the tests' to read and to remove.
        options = {"user": f"{os.getuid()}:{os.getgid()}", "volumes": [f"{tmp_path}:{tmp_path}"]}
        ports = {"5000/tcp": ("127.0.0.1", port)}
        containers.append(engine.containers.run(REGISTRY, [str(config)], detach=True, ports=ports, **options))
        wait_until_it_answers(containers[-1], f"http://127.0.0.1:{port}/v2/")
        return port

    yield start
    for container in containers:
        container.remove(force=True, v=True)


def wait_until_it_answers(container: Container, url: str) -> None:
    """Anything: a registry that wants a login says 401. The engine listens before the container does, and cuts off what comes too early."""
    while True:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(url, timeout=10)
            return
        container.reload()
        assert container.status in ("created", "running"), container.logs().decode()
        time.sleep(0.05)


@contextmanager
def started(image: str, *arguments: str, models: str | None = None, **options) -> Generator[tuple[Container, Endpoint]]:
    """A container under production's restrictions; it is gone when the block ends, however it ends. `models` is a volume."""
    container = (
        DockerContainer(image)
        .with_kwargs(**RESTRICTIONS | {"pids_limit": threads(1)} | options)
        .with_tmpfs_mount("/tmp", "size=64m")
    )
    if models:
        container.with_volume_mapping(models, "/models", "ro")
    if arguments:
        container = container.with_command(list(arguments))
    if "network_mode" not in options:
        container = container.with_exposed_ports(8500, 8501)
    try:  # a container whose start fails has been created all the same
        container.start()
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        ports = [
            int(published[0]["HostPort"]) for _, published in sorted(wrapped.ports.items(), reverse=True) if published
        ]
        yield wrapped, Endpoint("127.0.0.1", *(ports or [0, 0]))
    finally:
        container.stop(force=True)


@pytest.fixture(scope="session")
def served(start: Callable, release: Release) -> Iterator[tuple[Container, Endpoint]]:
    with start() as (container, endpoint):
        wait_until_ready(container, endpoint, release)
        yield container, endpoint


def wait_until_ready(container: Container, endpoint: Endpoint, release: Release) -> None:
    """Fails with the container's last words if it ends, or is not ready in the time that the settings give a deployment."""
    deadline = time.monotonic() + settings.read().ready_timeout_seconds
    while reason := unready(endpoint, release):
        container.reload()
        words = container.logs(tail=3).decode(errors="replace").strip()
        assert container.status == "running", f"the server ended: {words}"
        assert time.monotonic() < deadline, f"never ready: {reason}; {words}"
        time.sleep(0.05)


def unready(endpoint: Endpoint, release: Release) -> str | None:
    try:
        for model in release.models:
            endpoint.metadata(model["name"])
    except NoAnswer as error:
        return str(error)
    return None
