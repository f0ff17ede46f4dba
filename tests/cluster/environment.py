"""An environment for one test: a fork of this repository, a namespace of the cluster, and a deployer who may do what its Role says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from tests.support.fork import ROOT, Fork, Result, run_verb

if TYPE_CHECKING:
    from .conftest import Cluster

OVERLAY = "k8s/overlays/dev"


@dataclass
class Environment:
    """`dev` of a fork, in a namespace of its own. What `run` runs knows the cluster as the deployer, nobody else."""

    fork: Fork
    cluster: "Cluster"
    namespace: str
    kubeconfig: Path
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen:
        """`./pipeline ARGUMENTS`, without its launcher, in a process of its own, which may be killed."""
        command = [sys.executable, "-m", "scripts", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.fork.root, env=self._variables(), stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> Result:
        """The same in a process that has the imports already: a tenth of a second, not one."""
        result = run_verb(self.fork.root, arguments, self._variables())
        print(f"$ ./pipeline {' '.join(arguments)}\n{result.out}{result.err}")  # pytest shows it where the test fails
        return result

    def _variables(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.kubeconfig)} | self.variables

    def ok(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, result.err
        return result

    def refused(self, *arguments: str) -> str:
        """The error that the verb ends with, as one line."""
        result = self.run(*arguments)
        assert result.code == 1, result.err
        return result.err.partition("error: ")[2]

    def promote(self, release: dict[str, Any], *flags: str) -> None:
        folder = self.fork.root / "build/release"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "release.json").write_text(json.dumps(release))
        self.ok("promote", "dev", *flags)

    def promote_again(self, release: dict[str, Any]) -> None:
        """One that was rolled back before comes back with a reason only."""
        self.promote(release, "--from", "candidate", "--reason", "again")

    def deploy(self, release: dict[str, Any]) -> Result:
        self.promote(release)
        return self.ok("deploy", "dev")

    def patch(self, name: str, **spec: Any) -> None:
        """Commits a patch of the Deployment to the overlay: `spec` is merged into its spec."""
        document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serving"}, "spec": spec}
        (self.fork.root / OVERLAY / f"{name}.yaml").write_text(json.dumps(document))
        path = self.fork.root / OVERLAY / "kustomization.yaml"
        if f"path: {name}.yaml" not in path.read_text():
            last = "  - path: resources.yaml\n"
            self.fork.edit(f"{OVERLAY}/kustomization.yaml", last, f"{last}  - path: {name}.yaml\n")
        self.fork.commit(f"patch {name}")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def ledger(self) -> dict[str, Any]:
        """What HEAD says."""
        return json.loads(self.fork.git("show", f"HEAD:{OVERLAY}/release.json"))

    def image(self) -> str:
        """What the cluster was told to run."""
        return self.get("deployment/serving")["spec"]["template"]["spec"]["containers"][0]["image"]

    @contextmanager
    def load(
        self, model: str = "instant", per_second: int = 10, kept: int = 1, service: str = "serving"
    ) -> Iterator["Load"]:
        """Clients of each kind by REST and by gRPC on the Service, in the network of the node; counted when the block ends.

        Five kinds that ask ten times a second each: an interruption of a fiftieth of a second meets one of them.
        """
        host = self.get(f"service/{service}")["spec"]["clusterIP"]
        load = Load()
        command = [
            *self.cluster.in_node_network(),
            sys.executable,
            "-m",
            "tests.cluster.load",
            host,
            model,
            str(per_second),
            str(kept),
        ]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            yield load
        finally:
            process.terminate()
            out, err = process.communicate()
        assert process.returncode == 0, err
        for key, value in json.loads(out).items():
            setattr(load, key, value)

    def leaving(self) -> dict[str, datetime]:
        """When each pod that is terminating would be killed."""
        found = [pod["metadata"] for pod in self.get("pods")["items"]]
        return {m["name"]: datetime.fromisoformat(m["deletionTimestamp"]) for m in found if "deletionTimestamp" in m}

    def serves(self, release: dict[str, Any]) -> None:
        """Git, the cluster and the answers agree on `release`, and `status` says so."""
        assert self.ledger()["id"] == release["id"]
        assert self.image() == f"{release['image']['name']}@{release['image']['digest']}"
        self.ok("status", "dev")


@dataclass
class Load:
    """Answers counted: by REST {"2.0": 512}, by gRPC {"VERSION 2.0": 511}."""

    rest: dict[str, int] = field(default_factory=dict)
    grpc: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)  # lost by clients that keep their connection and do not ask again
    last: dict[str, float] = field(default_factory=dict)  # the time at which each answer was given last

    @property
    def total(self) -> int:
        return sum(self.rest.values()) + sum(self.grpc.values()) + len(self.failures)

    def check(self, *releases: dict[str, Any]) -> None:
        """No request failed, and none was answered by another release than these, or wrongly for its version."""
        right = {f"{r['version']} {answer(r)}" for r in releases}
        assert not self.failures, f"{len(self.failures)} of {self.total} failed: {self.failures[:40]}"
        assert self.grpc.keys() <= right
        assert self.rest.keys() <= {str(answer(r)) for r in releases}
        assert min(sum(self.rest.values()), sum(self.grpc.values())) > 0


def answer(release: dict[str, Any]) -> float:
    """To x = 1."""
    return release["models"][0]["examples"][0]["outputs"]["y"][0][0] / 10


def label(release: dict[str, Any]) -> str:
    return f"{release['version']}-{release['id'][:12]}"


def deployer(cluster: "Cluster", namespace: str, path: Path, role: str = "serving-deployer") -> Path:
    """Makes the namespace as k8s/admission would, with its deployer, by that role. Returns a kubeconfig that is the deployer's."""
    labels = {"serving": "true", "pod-security.kubernetes.io/enforce": "restricted"}
    subject = {"kind": "ServiceAccount", "name": "deployer", "namespace": namespace}
    bound = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "roleRef": bound,
        "subjects": [subject],
    }
    here = {"name": "deployer", "namespace": namespace}
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here},
        binding | {"metadata": here},
    ]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    token = cluster.kubectl("create", "token", "deployer", f"--namespace={namespace}", "--duration=2h").strip()
    config = YAML(typ="safe").load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(config))
    return path
