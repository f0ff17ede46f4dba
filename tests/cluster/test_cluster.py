"""The cluster itself does what the tests on it build upon."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from scripts.release import images
from tests.support.fork import ROOT

from .conftest import Cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: looked-up}}}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: main
      image: {image}
      command: {command}
      securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
"""

HEADLESS = """
apiVersion: v1
kind: Service
metadata: {name: all-pods}
spec: {clusterIP: None, selector: {app: looked-up}, ports: [{port: 80}]}
"""


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, cluster: Cluster) -> str:
    """The image below every release, pushed: REGISTRY/NAME@DIGEST."""
    name = f"{cluster.registry}/cluster-test"
    with contextlib.chdir(ROOT):
        images.find_base()
        engine.images.get(images.base()).tag(name, "1")
    engine.images.push(name, "1")
    return f"{name}@{engine.images.get_registry_data(f'{name}:1').id}"


def test_the_node_is_ready(cluster: Cluster):
    node = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"][0]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"


def test_a_pod_runs_a_pushed_digest_and_finds_its_peers_by_name(cluster: Cluster, namespace: str, image: str):
    def apply(manifest: str):
        cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=manifest)

    apply(POD.format(name="peer", image=image, command='["sleep", "600"]'))
    apply(HEADLESS)
    cluster.kubectl("wait", f"--namespace={namespace}", "--for=condition=Ready", "pod/peer", "--timeout=120s")
    look_up = '["sh", "-c", "until getent hosts all-pods; do sleep 0.1; done"]'
    apply(POD.format(name="asks", image=image, command=look_up))
    cluster.kubectl(
        "wait", f"--namespace={namespace}", "--for=jsonpath={.status.phase}=Succeeded", "pod/asks", "--timeout=60s"
    )
    address = cluster.kubectl("get", "pod/peer", f"--namespace={namespace}", "--output=jsonpath={.status.podIP}")
    assert cluster.kubectl("logs", f"--namespace={namespace}", "asks").split()[0] == address


def test_a_given_cluster_is_used_only_with_its_name_said(cluster: Cluster):
    """What needs no node of its own runs there as well."""
    tests = "tests/cluster/test_refusals.py::test_a_container_brought_into_a_pod_later_is_held_to_its_digest_too"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
    command += [f"--kubeconfig={cluster.kubeconfig}", f"--registry={cluster.registry}"]
    context = cluster.kubectl("config", "current-context").strip()
    for word, expected in (("production", "1 error"), (context, "1 passed")):
        done = subprocess.run([*command, f"--may-change={word}"], cwd=ROOT, capture_output=True, text=True)
        assert expected in done.stdout, done.stdout
        assert (f"if the tests may change that cluster, say --may-change {context}" in done.stdout) == (word != context)


def test_a_node_is_found_from_within_a_container(engine: docker.DockerClient, tmp_path: Path):
    """With nothing said about where the engine publishes its ports: this may be a container, or not."""
    code = "from pathlib import Path; from scripts.environments.node import container as c; print(c(Path('x')).get_container_host_ip())"
    variables = {key: value for key, value in os.environ.items() if not key.startswith("TESTCONTAINERS_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("localhost", "127.0.0.1")
