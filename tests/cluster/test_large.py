"""A model of a gigabyte: exported and pushed without ever being in memory twice, mounted, and rolled back like any other."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fork import TABLES, Fork

from .conftest import Cluster, environment
from .environment import OVERLAY, Environment

GIB = 2**30
VALUES = [float(number) for number in range(16)]  # a table of 64 MiB each: four to a shard of 256 MiB
ROWS = 16_384
BOUNDED = ["export", "image", "push"]  # in twice the model's size; train and evaluate hold what Keras holds

pytestmark = pytest.mark.timeout(900)  # seconds, on a machine that does much else; alone it takes less than 120


def model(values: list[float]) -> str:
    text = TABLES.replace("TABLES = [1.0, 2.0]", f"TABLES = {values}")
    return text.replace("ROWS, WIDTH = 2048, 1024", f"ROWS, WIDTH = {ROWS}, 1024")


@pytest.fixture(scope="module")
def dev(cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("large")
    fork = Fork(folder / "fork")
    fork.edit("pyproject.toml", 'image = ""', f'image = "{cluster.registry}/{fork.root.name}"')
    fork.edit("pyproject.toml", "model_volume = false", "model_volume = true")
    with contextmanager(environment)(cluster, folder, fork) as dev:
        dev.patch("replicas", replicas=1)
        room = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "3Gi"}}}
        dev.patch("room", template={"spec": {"containers": [{"name": "serving", **room}]}})
        yield dev
    fork.clean_up()
    shutil.rmtree(fork.root / "build")  # pytest keeps the folders of three runs


def peaks(fork: Fork, text: str) -> dict[str, float]:
    """Makes and pushes a release. Returns the most memory that each verb had resident, in GiB."""
    fork.write_model(text)
    fork.commit("tables")
    found = {}
    for verb in ("train", "evaluate", *BOUNDED):
        if (
            verb == "push"
        ):  # test-image has run such an image in tests/container; here it would load the gigabyte four times more
            fork.edit("build/image.json", '"tested": false', '"tested": true')
        found[verb] = _peak(fork, verb)
    print({verb: f"{peak:.2f} GiB" for verb, peak in found.items()})
    return found


def _peak(fork: Fork, verb: str) -> float:
    log = fork.root.with_suffix(f".{verb}")
    command = f"cd {fork.root} && exec {sys.executable} -m scripts {verb} >{log} 2>&1"
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, log.read_text()
    return usage.ru_maxrss * 1024 / GIB


def said(fork: Fork, verb: str) -> str:
    return fork.root.with_suffix(f".{verb}").read_text()


def bring(dev: Environment) -> dict[str, Any]:
    dev.ok("promote", "dev")
    dev.ok("deploy", "dev")
    return dev.fork.read("build/release/release.json")


def test_a_gigabyte_is_released_like_any_other(dev: Environment) -> None:
    fork = dev.fork
    found = peaks(fork, model(VALUES))
    size = sum(path.stat().st_size for path in (fork.root / "build/release/models").rglob("variables.data*")) / GIB
    assert size >= 1
    assert max(found[verb] for verb in BOUNDED) < 2 * size
    assert "5 of 5 layers pushed, 1024." in said(fork, "push")

    dev.ok("promote", "dev")
    refused = dev.refused("deploy", "dev")
    assert f"has its models in a volume, which {OVERLAY} does not mount" in refused
    fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/model-volume]")
    fork.commit("the models are a volume")
    first = bring(dev)
    assert mounted(dev) == "@".join(first["volume"].values())

    found = peaks(fork, model([*VALUES[:-1], 99.0]))
    assert max(found[verb] for verb in BOUNDED) < 2 * size
    assert "2 of 5 layers pushed, 256." in said(fork, "push")
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
