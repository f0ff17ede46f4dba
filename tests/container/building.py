"""Images of a release on a base of a few small files: what is below a release is not the point there, and pushes in no time."""

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from scripts.release import engine as engines
from tests.support.fork import INSTANT, Fork

BASE = f"localhost/pipeline-test-base:{os.getpid()}"  # two runs on one engine take nothing from each other
PACKAGE = """\
Package: hello
Status: install ok installed
Maintainer: Somebody <somebody@example.com>
Architecture: all
Version: 2.10
Description: the one package of this system
"""
FILES = {
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "var/lib/dpkg/status": PACKAGE,
    "usr/share/doc/hello/copyright": "Files: *\nLicense: GPL-3+\n",
}


@pytest.fixture(scope="package")
def base(engine: docker.DockerClient) -> Iterator[str]:
    """An image of one package."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, text in FILES.items():
            engines.add(tar, path, text.encode(), 0)
    engine.api.import_image_from_data(layer.getvalue(), repository=BASE.partition(":")[0], tag=BASE.partition(":")[2])
    yield BASE
    engine.images.remove(BASE, force=True)


@pytest.fixture(scope="package")
def released(base: str, tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """A release, to be copied: what is trained is not the point of most tests here."""
    fork = Fork(tmp_path_factory.mktemp("released") / "fork")
    settle(fork, base)
    fork.release()
    return fork


@pytest.fixture
def built(
    base: str, released: Fork, engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Fork]]:
    """Builds the image of a release, as one that was tested, for the registry at a port."""
    forks = []

    def build(port: int, name: str = "fork", model: str = INSTANT, volume: bool = False) -> Fork:
        if model == INSTANT:
            fork = released.copy(tmp_path / name)
        else:
            fork = Fork(tmp_path / name)
            settle(fork, base)
            if volume:
                fork.edit("pyproject.toml", "model_volume = false", "model_volume = true")
                fork.edit("scripts/training/saved_model.py", "SHARD = 256", "SHARD = 8")
            fork.release(model)
        fork.edit("pyproject.toml", "127.0.0.1:1/team/model", f"127.0.0.1:{port}/team/model")
        contain(fork)
        forks.append(fork)
        return fork

    monkeypatch.delenv("SERVING_IMAGE", raising=False)
    yield build
    for fork in forks:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.images.remove(fork.read("build/image.json")["reference"], force=True)


def settle(fork: Fork, base: str) -> None:
    fork.edit("serving/Dockerfile", "tensorflow/serving:2.20.0", base)
    fork.edit("pyproject.toml", 'image = ""', 'image = "127.0.0.1:1/team/model"')


def contain(fork: Fork) -> None:
    """The image of its release, noted as one that was tested."""
    fork.ok("image")
    fork.edit("build/image.json", '"tested": false', '"tested": true')
