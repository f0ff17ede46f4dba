"""A training on the cluster: it outlives its caller and its pods, and comes back as if trained here; or it says why it cannot."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import pytest

from scripts.release.registry import Repository
from tests.support.fork import INSTANT, ROOT

from .conftest import Cluster, environment
from .environment import Environment, deployer

pytestmark = pytest.mark.timeout(900)  # seconds: the image of a new lock is built first, however busy the machine
# The third epoch begins in a training that goes on from a backup, and in no other.
WAITS = """\
    def wait(epoch: int, logs: dict | None = None) -> None:
        if epoch == 2 and not network._initial_epoch:
            threading.Event().wait()

    callbacks = [*callbacks, keras.callbacks.LambdaCallback(on_epoch_begin=wait)]
"""
SET = "    network.set_weights"
# Seven examples in batches of four, by two workers: the last batch is one of two rows, and one of one.
LEARNS = {
    "[[1.0], [2.0]]": "[[0.1], [0.9], [-0.4], [0.3], [-0.8], [0.6], [0.2]]",
    "SGD(0.0)": "SGD(0.1)",
    "epochs=1,": "epochs=4, batch_size=4, shuffle=False,",
    "np.array([[SLOPE]]": "np.array([[SLOPE - 1.0]]",
    "at_most=0.001": "at_most=100.0",
    "tolerance=0.001": "tolerance=100.0",
}
WEIGHTS = "build/instant/model/model.weights.h5"


@pytest.fixture(scope="module")
def dev(cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A fork's `dev`, for who may train there and do nothing else."""
    folder = tmp_path_factory.mktemp("training")
    with contextmanager(environment)(cluster, folder) as dev:
        cluster.kubectl("apply", "--kustomize", str(ROOT / "k8s/training"))
        dev.namespace += "-training"
        dev.kubeconfig = deployer(cluster, dev.namespace, folder / "trainer", "serving-trainer")
        table = f'[tool.pipeline.training]\nregistry = "{seen_by_pods(cluster)}"\ncpu = "1"\nmemory = "2Gi"\n'
        environments = "[tool.pipeline.environments]\n"
        dev.fork.edit("pyproject.toml", environments, table + environments)
        dev.fork.edit("pyproject.toml", 'image = ""', f'image = "{cluster.registry}/pipeline-test"')
        dev.fork.edit("scripts/training/backups.py", "BACKUP_SECONDS = 60", "BACKUP_SECONDS = 0")
        dev.fork.write_model()
        yield dev
        cluster.kubectl("delete", "namespace", dev.namespace, "--wait=false")


def seen_by_pods(cluster: Cluster) -> str:
    """The address of the registry within the cluster: on a node of the tests' own, loopback is the pod itself."""
    if not cluster.node:
        return ""
    _, output = cluster.node.exec_run(["getent", "ahostsv4", "host.docker.internal"])
    return f"http://{output.decode().split()[0]}:{cluster.registry.rpartition(':')[2]}"


def test_two_workers_outlive_their_caller_and_their_pods(dev: Environment) -> None:
    text = INSTANT.replace("import keras", "import threading\n\nimport keras")
    for old, new in LEARNS.items():
        text = text.replace(old, new)
    dev.fork.write_model(text)
    dev.fork.ok("train")
    alone = weights(dev)
    dev.fork.write_model(text.replace(SET, WAITS + SET))
    dev.fork.edit("pyproject.toml", 'cpu = "1"', 'workers = 2\ncpu = "1"')
    caller = dev.start("train", "--on", "dev")
    assert caller.stderr
    said = ""
    while "  backup     kept as " not in said:
        said += (line := caller.stderr.readline())
        assert line, said
    caller.kill()
    assert backup(dev, said)["layers"]
    evict(dev)
    again = dev.ok("train", "--on", "dev").err
    assert "train      instant: is under way with 2 workers on dev, as Job " in again
    assert "train      instant: goes on after epoch " in again
    assert " pods have failed" not in again  # a drain counts for nothing
    assert dev.get("jobs")["items"] == []
    dev.kubectl("wait", "--for=delete", "pods,services", "--all", "--timeout=120s")
    assert backup(dev, said)["layers"] == []  # what has ended well is not gone on with
    dev.fork.ok("evaluate")  # which takes a training of this very code alone
    np.testing.assert_allclose(weights(dev), alone, rtol=1e-6)


def weights(dev: Environment) -> list[float]:
    found: list[float] = []
    with h5py.File(dev.fork.root / WEIGHTS) as file:
        file["layers"].visititems(
            lambda _, part: found.extend(np.ravel(part)) if isinstance(part, h5py.Dataset) else None
        )
    assert len(found) == 2
    return found


def evict(dev: Environment) -> None:
    """What `kubectl drain` asks for, for the pods of all workers; an administrator may."""
    kind = {"apiVersion": "policy/v1", "kind": "Eviction"}
    for pod in dev.get("pods")["items"]:
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{dev.namespace}/pods/{name}/eviction"
        body = json.dumps(kind | {"metadata": {"name": name, "namespace": dev.namespace}})
        dev.kubectl("create", "--raw", path, "--filename=-", stdin=body)


def backup(dev: Environment, said: str) -> dict[str, Any]:
    """The manifest of the backup that a training says it keeps."""
    found = re.search(r"  backup     kept as [^/]+/(\S+):(\S+), from", said)
    assert found
    return Repository(f"{dev.cluster.registry}/{found[1]}").manifest(found[2])[0]


STUCK = {
    "quota": ("", "quota", "no pod can be made: exceeded quota: quota, requested: pods=1"),
    "too large": ('cpu = "99"', "", "does not fit: 0/1 nodes are available: 1 Insufficient cpu"),
}


@pytest.mark.parametrize("defect", STUCK)
def test_says_why_it_does_not_begin(dev: Environment, defect: str) -> None:
    cpu, quota, words = STUCK[defect]
    before = (dev.fork.root / "pyproject.toml").read_text()
    if quota:
        dev.kubectl("create", "quota", quota, "--hard=pods=0")
    if cpu:
        dev.fork.edit("pyproject.toml", 'cpu = "1"', cpu)
    try:
        assert words in dev.refused("train", "--on", "dev")
    finally:
        (dev.fork.root / "pyproject.toml").write_text(before)
        dev.kubectl("delete", "quota", "--all")
    assert "cancelled on dev" in dev.ok("train", "--on", "dev", "--cancel").err
    assert dev.get("jobs")["items"] == []
