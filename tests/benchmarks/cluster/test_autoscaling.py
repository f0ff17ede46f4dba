"""The component `autoscaling` with a real metrics-server: pods come and go with the load, and a rollout meanwhile loses nothing.

metrics-server is compiled from its Go module, in minutes the first time, and runs on the node. k3s has its own.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Cluster
from tests.cluster.environment import OVERLAY, Environment
from tests.conftest import requires

MODULE = "sigs.k8s.io/metrics-server/cmd/metrics-server@v0.9.0"
ADMIN, KEYS = "/etc/rancher/k3s/k3s.yaml", "/var/lib/node"
START = f"""\
exec metrics-server --kubeconfig={ADMIN} --authentication-kubeconfig={ADMIN} --authorization-kubeconfig={ADMIN} --secure-port=4443 \
  --cert-dir=/tmp/metrics-server --kubelet-insecure-tls --kubelet-preferred-address-types=InternalIP \
  --kubelet-client-certificate={KEYS}/cert.pem --kubelet-client-key={KEYS}/key.pem \
  --kubelet-request-timeout=5s --metric-resolution=10s >/var/log/metrics-server.log 2>&1"""
# This node's API server has no certificate to tell an aggregated one who asks by: metrics-server takes it for an anonymous one.
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {ports: [{port: 443, targetPort: 4443, name: https}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: metrics-server, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
addressType: IPv4
ports: [{name: https, port: 4443}]
endpoints: [{addresses: [NODE], conditions: {ready: true}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec: {group: metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true,
  service: {name: metrics-server, namespace: kube-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-metrics}
rules:
  - {apiGroups: [metrics.k8s.io], resources: [pods, nodes], verbs: [get, list]}
  - {nonResourceURLs: [/apis/metrics.k8s.io/*], verbs: [get]} # by which the API server knows it to be there
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-metrics}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:anonymous"}]
"""
PODS, MOST = 2, 4


@pytest.fixture
def metrics_server(cluster: Cluster, tmp_path: Path) -> None:
    if not cluster.kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "--ignore-not-found"):
        if not shutil.which("go"):
            requires("tools", "Go is not installed, and metrics-server comes as its Go module")
        environment = os.environ | {"GOBIN": str(tmp_path), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", "-ldflags=-s -w", MODULE], env=environment, check=True)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            tar.add(tmp_path / "metrics-server", "metrics-server")
        cluster.node.put_archive("/usr/bin", content.getvalue())
        cluster.node.exec_run(["sh", "-c", START], detach=True)
        cluster.kubectl("apply", "-f", "-", stdin=SERVICE.replace("NODE", node_address(cluster)))
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=120s")


def node_address(cluster: Cluster) -> str:
    addresses = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"][0]["status"]["addresses"]
    return next(a["address"] for a in addresses if a["type"] == "InternalIP")


def until(what: str, true: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < 240, what
        time.sleep(1)
    print(f"\n{what}: {time.monotonic() - begin:.0f} s")


@pytest.mark.timeout(900)
def test_pods_follow_the_load(metrics_server: None, dev: Environment, releases: dict[str, Any]) -> None:
    def pods() -> tuple[int, int]:
        found = dev.get("deployment/serving")
        return found["spec"]["replicas"], found["status"].get("availableReplicas", 0)

    kustomization = f"{OVERLAY}/kustomization.yaml"
    dev.fork.edit(f"{OVERLAY}/resources.yaml", "cpu: 10m", "cpu: 50m")
    dev.fork.edit(kustomization, "components: []", "components: [../../components/autoscaling]")
    dev.fork.edit(kustomization, "  - path: replicas.yaml\n", "  - path: autoscaler.yaml\n")
    spec = {"maxReplicas": MOST, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}}}
    patch = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "serving"}}
    (dev.fork.root / OVERLAY / "autoscaler.yaml").write_text(json.dumps(patch | {"spec": spec}))
    dev.fork.commit("as many pods as the load needs, up to four")
    dev.deploy(releases["one"])
    until(f"{PODS} pods before any load", lambda: pods() == (PODS, PODS))
    with dev.load(per_second=2) as always:
        with dev.load(per_second=50) as much:
            until(f"{MOST} pods after the load came", lambda: pods() == (MOST, MOST))
            dev.promote(releases["two"])
            assert f"on {MOST} servers: all right" in dev.ok("deploy", "dev").err
            assert pods() == (MOST, MOST)
        until(f"{PODS} pods after the load went", lambda: pods() == (PODS, PODS))
    for load in (always, much):
        load.check(releases["one"], releases["two"])
        print(f"{load.total} requests, {len(load.failures)} failed, {len(load.cut)} by clients that ask once")
    dev.serves(releases["two"])
