"""A model in several files: pushed without being held in memory, mounted, and rolled back like any other.

Of 64 MiB, in shards of a sixteenth of the usual size; tests/benchmarks/test_large.py weighs a whole gigabyte.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fork import TABLES, Fork

from .conftest import Cluster, environment
from .environment import OVERLAY, Environment

MIB = 2**20
VALUES = [float(number) for number in range(16)]  # a table of 4 MiB each: four to a shard of 16 MiB
ROWS = 1024
# A process is given the peak of the one that started it: this one is small.
WEIGH = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def model(values: list[float]) -> str:
    text = TABLES.replace("TABLES = [1.0, 2.0]", f"TABLES = {values}")
    return text.replace("ROWS, WIDTH = 2048, 1024", f"ROWS, WIDTH = {ROWS}, 1024")


@pytest.fixture(scope="module")
def dev(cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("large")
    fork = Fork(folder / "fork")
    fork.edit("pyproject.toml", 'image = ""', f'image = "{cluster.registry}/{fork.root.name}"')
    fork.edit("pyproject.toml", "model_volume = false", "model_volume = true")
    fork.edit("scripts/training/saved_model.py", "SHARD = 256", "SHARD = 16")
    with contextmanager(environment)(cluster, folder, fork) as dev:
        dev.patch("replicas", replicas=1)
        room = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}}
        dev.patch("room", template={"spec": {"containers": [{"name": "serving", **room}]}})
        yield dev
    fork.clean_up()
    shutil.rmtree(fork.root / "build")  # pytest keeps the folders of three runs


def publish(fork: Fork, text: str) -> dict[str, int]:
    """Makes and pushes a release. Returns what `image` and `push` had resident at most, in bytes."""
    fork.release(text)
    found = {"image": peak(fork, "image")}
    # test-image has run such an image in tests/container; here it would load the model four times more
    fork.edit("build/image.json", '"tested": false', '"tested": true')
    return found | {"push": peak(fork, "push")}


def peak(fork: Fork, verb: str) -> int:
    with fork.root.with_suffix(f".{verb}").open("w+") as log:
        command = [sys.executable, "-c", WEIGH, sys.executable, "-m", "scripts", verb]
        code = subprocess.run(command, cwd=fork.root, stdout=log, stderr=log).returncode
        said = log.seek(0) or log.read()
    assert code == 0, said
    return int(said.split()[-1]) * 1024


def said(fork: Fork, verb: str) -> str:
    return fork.root.with_suffix(f".{verb}").read_text()


def bring(dev: Environment) -> dict[str, Any]:
    dev.ok("promote", "dev")
    dev.ok("deploy", "dev")
    return dev.fork.read("build/release/release.json")


@pytest.mark.timeout(900)  # seconds, on a machine that does much else
def test_it_is_released_like_any_other(dev: Environment) -> None:
    fork = dev.fork
    found = publish(fork, model(VALUES))
    size = sum(path.stat().st_size for path in (fork.root / "build/release/models").rglob("variables.data*"))
    assert size >= 64 * MIB
    assert max(found.values()) < size, "it was held in memory whole"  # 43 MiB are, whatever the size
    assert "5 of 5 layers pushed, 64." in said(fork, "push")

    dev.ok("promote", "dev")
    refused = dev.refused("deploy", "dev")
    assert f"has its models in a volume, which {OVERLAY} does not mount" in refused
    fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/model-volume]")
    fork.commit("the models are a volume")
    first = bring(dev)
    assert mounted(dev) == "@".join(first["volume"].values())

    publish(fork, model([*VALUES[:-1], 99.0]))
    assert "2 of 5 layers pushed, 16." in said(fork, "push")
    second = bring(dev)
    dev.serves(second)
    assert mounted(dev) == "@".join(second["volume"].values())

    dev.ok("rollback", "dev", "--reason", "the last table is not right")
    dev.serves(first)
    assert mounted(dev) == "@".join(first["volume"].values())
    assert "on 1 server: all right" in dev.ok("verify", "dev").out


def mounted(dev: Environment) -> str:
    (volume,) = (
        v for v in dev.get("deployment/serving")["spec"]["template"]["spec"]["volumes"] if v["name"] == "models"
    )
    return volume["image"]["reference"]


def test_a_volume_by_tag_is_refused_by_admission(dev: Environment) -> None:
    volume = {"name": "models", "image": {"reference": "localhost/models:latest"}}
    containers = [{"name": "c", "image": f"localhost/c@sha256:{'0' * 64}"}]
    labels = {"app": "tagged"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, "volumes": [volume]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "tagged"}, "spec": spec}
    with pytest.raises(
        AssertionError, match="only images by digest are admitted here, and this is none: localhost/models:latest"
    ):
        dev.kubectl("apply", "-f", "-", "--dry-run=server", stdin=json.dumps(document))
