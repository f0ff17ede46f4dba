"""A fork on a GitHub of its own (act.py), with a registry and three environments on the tests' cluster."""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from scripts.environments.node import REGISTRY
from tests.cluster.conftest import Cluster, admission, cluster, engine
from tests.cluster.environment import deployer
from tests.support.fork import Fork

from .act import GitHub, Run

__all__ = ["admission", "cluster", "engine"]
ENVIRONMENTS = ["dev", "staging", "production"]


@dataclass
class World:
    """A fork whose owner has set the variables of three environments, in namespaces of the tests' own."""

    github: GitHub
    fork: Fork
    cluster: Cluster
    namespaces: dict[str, str]
    kubeconfig: str

    def run(self, workflow: str, event: str, payload: dict[str, Any] | None = None, **options: Any) -> Run:
        options = {"variables": {"CLUSTER": "kubeconfig"}, "secrets": {"KUBECONFIG": self.kubeconfig}} | options
        return self.github.run(workflow, event, payload, **options)

    def ledger(self, environment: str, branch: str = "main") -> dict[str, Any]:
        """What origin says that it should serve."""
        return json.loads(self.github.git("show", f"{branch}:k8s/overlays/{environment}/release.json"))

    def serves(self, environment: str) -> str:
        """NAME@DIGEST of what its cluster runs."""
        namespace = f"--namespace={self.namespaces[environment]}"
        live = json.loads(self.cluster.kubectl("get", "deployment/serving", namespace, "--output=json"))
        return live["spec"]["template"]["spec"]["containers"][0]["image"]

    def history(self, environment: str) -> list[str]:
        """The subjects of its ledger's commits on origin, newest first."""
        return self.github.git("log", "--format=%s", "main", "--", f"k8s/overlays/{environment}").splitlines()


@pytest.fixture(scope="module")
def world(
    cluster: Cluster, admission: None, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder, suffix = tmp_path_factory.mktemp("github"), secrets.token_hex(4)
    fork = Fork(folder / "fork")
    fork.write_model()
    image = f"{REGISTRY}/flow-{suffix}"
    fork.edit("pyproject.toml", 'image = ""', f'image = "{image}"')
    namespaces = {name: f"test-{suffix}-{name}" for name in ENVIRONMENTS}
    for name, namespace in namespaces.items():
        overlay = f"k8s/overlays/{name}"
        fork.edit(f"{overlay}/kustomization.yaml", f"namespace: serving-{name}", f"namespace: {namespace}")
        shrink(fork, overlay)
    fork.commit("environments of its own")
    kubeconfig = deployer(cluster, namespaces["dev"], folder / "kubeconfig")
    for namespace in [namespaces["staging"], namespaces["production"]]:
        allow(cluster, namespaces["dev"], namespace)
    yield World(GitHub(folder / "github", fork), fork, cluster, namespaces, kubeconfig.read_text())
    for namespace in namespaces.values():
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    for found in engine.images.list(image):
        engine.images.remove(found.id, force=True)


def shrink(fork: Fork, overlay: str) -> None:
    """One pod that asks for little: three environments fit on one small node."""
    for name, field in (
        ("replicas.yaml", "replicas: 1"),
        ("resources.yaml", "cpu: 10m"),
        ("resources.yaml", "memory: 64Mi"),
    ):
        path = fork.root / overlay / name
        key = field.partition(" ")[0]  # of the limits that follow the requests, nothing is changed
        path.write_text(re.sub(rf"{key} \S+", field, path.read_text(), count=1))


def allow(cluster: Cluster, deployer_in: str, namespace: str, role: str = "serving-deployer") -> None:
    """The deployer of one namespace may deploy to another: act knows one set of secrets, and not one for each environment."""
    labels = {"serving": "true", "pod-security.kubernetes.io/enforce": "restricted"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "deployer", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": deployer_in}],
    }
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    cluster.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [made, binding]})
    )
