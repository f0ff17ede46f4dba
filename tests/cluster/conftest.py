"""A real Kubernetes for the tests: one node in a container, which any engine can start, or a cluster that is given.

The node is that of `up --cluster`. A cluster is given by `--kubeconfig FILE --may-change CONTEXT --registry HOST`: the tests apply
k8s/admission to it and work in namespaces of their own, test-…. Where its only node is a container of this computer's engine,
`--node CONTAINER` lets those run too that lay hands on it.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from docker.errors import DockerException
from docker.models.containers import Container

from scripts.environments import node as nodes
from scripts.environments.node import REGISTRY
from tests.conftest import requires
from tests.support.fork import INSTANT, ROOT, Fork
from tests.support.once import once

from .environment import Environment, deployer
from .releases import ANSWER, LONG, broken, publish

OWNER = "pipeline.tests.pid"  # the label that says which process a container belongs to
CPUS = 8  # of the node, whatever this computer has: what production requests fits on it


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the tests' own, or one without a node that they could lay hands on."""

    kubeconfig: Path
    registry: str
    node: Container | None

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of a kubectl that must succeed; its standard error is in the failure's message."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def in_node_network(self) -> list[str]:
        """What to put before a command so that it reaches Services as a pod does; needs root, or sudo without a password."""
        pid = self._container().attrs["State"]["Pid"]
        return [*([] if os.geteuid() == 0 else ["sudo", "--non-interactive"]), "nsenter", f"--target={pid}", "--net"]

    def signal_api_server(self, name: str) -> None:
        """STOP or CONT: it is gone, and back. In k3s it is part of the one process."""
        self.run_on_node(f"kill -{name} $(cat /run/kube-apiserver.pid 2>/dev/null || pidof k3s)")

    def run_on_node(self, script: str) -> None:
        code, output = self._container().exec_run(["sh", "-c", script])
        assert code == 0, output.decode()

    def _container(self) -> Container:
        if not self.node:
            pytest.skip("needs a node of its own, and this cluster was given")
        return self.node


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine; the test is skipped where there is none."""
    try:
        client = docker.from_env(timeout=600)  # a busy machine's engine answers late
        client.ping()
    except DockerException as error:
        requires("cluster", f"no Docker engine answers ({error}); start Docker, or run .ci/engine")
    # A run that was killed could not clean up: the next one does it.
    for container in client.containers.list(all=True, filters={"label": OWNER}):
        if not psutil.pid_exists(int(container.labels[OWNER])):
            container.remove(force=True, v=True)
    yield client
    client.close()


@pytest.fixture(scope="package")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A node that is Ready, and pulls what was pushed to its registry. Nothing of it is left, whatever fails.

    Its start takes 4 s of processor time, and an idle minute 2: each process has its own, on which it may lay hands.
    """
    if given := request.config.getoption("kubeconfig"):
        yield _given(Path(given).absolute(), request.config)
        return
    request.getfixturevalue("engine")
    folder = tmp_path_factory.mktemp("cluster")
    node = nodes.container(folder, labels={OWNER: str(os.getpid())})
    _count_cpus(node, folder)
    try:
        node.start()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(nodes.kubeconfig(node))
        kubeconfig.chmod(0o600)
        yield Cluster(kubeconfig, REGISTRY, node.get_wrapped_container())
    finally:
        node.stop()


def _count_cpus(node: Any, folder: Path) -> None:
    """The kubelet counts folders: a cpuN each, where no NUMA node is said."""
    (folder / "numa").mkdir()
    for number in range(CPUS):
        (folder / f"cpus/cpu{number}").mkdir(parents=True)
    node.with_volume_mapping(folder / "numa", "/sys/devices/system/node")
    node.with_volume_mapping(folder / "cpus", "/sys/devices/system/cpu")


def _given(kubeconfig: Path, config: pytest.Config) -> Cluster:
    """Only with its name said: what a kubeconfig happens to point at may be production."""
    name = config.getoption("node")
    node = docker.from_env().containers.get(name) if name else None
    cluster = Cluster(kubeconfig, config.getoption("registry") or REGISTRY, node)
    context = cluster.kubectl("config", "current-context").strip()
    if config.getoption("may_change") != context:
        pytest.fail(
            f"{kubeconfig} points at {context}; if the tests may change that cluster, say --may-change {context}"
        )
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, with the pod security that production has."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    # Pods are refused until the namespace has its service account.
    cluster.kubectl("wait", f"--namespace={name}", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="package")
def releases(
    engine: docker.DockerClient, cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Release documents by name: `one` and `two` are good; the others are named for their defect."""
    folder = tmp_path_factory.mktemp("releases")
    return once(tmp_path_factory, pytestconfig, "releases", lambda: _publish(engine, cluster, Fork(folder / "fork")))


def _publish(engine: docker.DockerClient, cluster: Cluster, fork: Fork) -> dict[str, Any]:
    made = {}
    for name, slope in (("one", "2.0"), ("two", "3.0")):
        made[name] = publish(cluster.registry, fork, INSTANT.replace(ANSWER, LONG + ANSWER), SLOPE=slope)
    wrong = json.loads(json.dumps(made["two"]))
    wrong["id"] = "3" * 64
    wrong["models"][0]["examples"][0]["outputs"] = {"y": [[31.0]]}
    made["wrong"] = wrong
    made["missing"] = made["two"] | {
        "id": "4" * 64,
        "image": {"name": made["two"]["image"]["name"], "digest": f"sha256:{'4' * 64}"},
    }
    made["crashing"] = broken(engine, cluster.registry, made["two"], "echo the model is rotten >&2; exit 3")
    few = "Thread tf_ModelDiskSizePool creation via pthread_create() failed"  # TensorFlow Serving's words, below a podPidsLimit
    made["threadless"] = broken(engine, cluster.registry, made["two"], f"echo '{few}.' >&2; exit 139")
    made["silent"] = broken(engine, cluster.registry, made["two"], "sleep 1000")
    return made


@pytest.fixture(scope="package")
def admission(cluster: Cluster) -> None:
    """What an administrator applies once: k8s/admission."""
    cluster.kubectl("apply", "-k", str(ROOT / "k8s/admission"))


def environment(cluster: Cluster, folder: Path, fork: Fork | None = None) -> Iterator[Environment]:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    fork = fork or Fork(folder / "fork")
    fork.edit("k8s/overlays/dev/kustomization.yaml", "namespace: serving-dev", f"namespace: {namespace}")
    fork.edit("k8s/overlays/dev/replicas.yaml", "replicas: 1", "replicas: 2")
    fork.edit("k8s/overlays/dev/resources.yaml", "cpu: 250m", "cpu: 10m")  # many tests' pods fit on one small node
    fork.edit("k8s/overlays/dev/resources.yaml", "memory: 512Mi", "memory: 64Mi")
    fork.git("config", "user.name", "fork")
    fork.git("config", "user.email", "fork@example.com")
    fork.commit("an environment of its own")
    yield Environment(fork, cluster, namespace, deployer(cluster, namespace, folder / "kubeconfig"))
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def dev(cluster: Cluster, admission: None, tmp_path: Path) -> Iterator[Environment]:
    """A fork's `dev` on the cluster, with two replicas and nothing promoted to it yet."""
    yield from environment(cluster, tmp_path)


@pytest.fixture(scope="module")
def shared_dev(cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """One for all tests of a module: each leaves it as it found it."""
    yield from environment(cluster, tmp_path_factory.mktemp("shared"))
