"""What `verify` takes to ask 2, 20 and 200 pods of a real API server. All but one are objects made by hand, on a node that is not there:
its kubelet leads every connection to the pod that is.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import urllib3
from ruamel.yaml import YAML

from tests.cluster.conftest import Cluster
from tests.cluster.environment import Environment
from tests.support.fork import ROOT

PODS = (2, 20, 200)
NODE, PORT = "fleet", 10260


@pytest.fixture
def fleet(cluster: Cluster, dev: Environment, releases: dict[str, Any]) -> Iterator[Environment]:
    dev.patch("replicas", replicas=1)
    dev.deploy(releases["one"])
    (pod,) = dev.get("pods", "--field-selector=status.phase=Running")["items"]
    command = [*cluster.in_node_network(), sys.executable, "-m", "tests.benchmarks.cluster.kubelet"]
    kubelet = subprocess.Popen([*command, str(PORT), pod["status"]["podIP"]], cwd=ROOT)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(node))
    (real,) = (
        n for n in json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"] if n["metadata"]["name"] != NODE
    )
    address = [a for a in real["status"]["addresses"] if a["type"] == "InternalIP"]
    status = {"addresses": address, "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}}}
    cluster.kubectl("patch", "node", NODE, "--subresource=status", f"--patch={json.dumps({'status': status})}")
    yield dev
    kubelet.terminate()
    kubelet.wait()
    cluster.kubectl("delete", "node", NODE)


def administrator(cluster: Cluster) -> Callable[..., Any]:
    config = YAML(typ="safe").load(cluster.kubeconfig.read_text())
    server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    pool = urllib3.PoolManager(cert_reqs="CERT_NONE")
    urllib3.disable_warnings()

    def ask(method: str, path: str, document: Any, kind: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        response = pool.request(method, server + path, body=json.dumps(document), headers=headers)
        assert response.status < 300, response.data
        return response.json()

    return ask


def test_a_hundred_times_the_pods(fleet: Environment, cluster: Cluster) -> None:
    ask, path = administrator(cluster), f"/api/v1/namespaces/{fleet.namespace}/pods"
    (pod,) = fleet.get("pods", "--field-selector=status.phase=Running")["items"]
    template = fleet.get("deployment/serving")["spec"]["template"]
    spec = template["spec"] | {"nodeName": NODE, "tolerations": [{"operator": "Exists"}]}
    status = {key: pod["status"][key] for key in ("phase", "podIP", "podIPs", "containerStatuses", "conditions")}
    taken: dict[int, tuple[float, float]] = {}
    for number in range(1, max(PODS)):
        name = f"fleet-{number}"
        metadata = {"name": name, "labels": template["metadata"]["labels"]}
        ask("POST", path, {"metadata": metadata, "spec": spec})
        ask("PATCH", f"{path}/{name}/status", {"status": status}, "application/merge-patch+json")
        if number + 1 in PODS:
            taken[number + 1] = measured(fleet, number + 1)
    assert taken[200][0] <= 100 * taken[2][0]
    assert taken[200][1] <= 2 * taken[2][1]


def measured(dev: Environment, pods: int) -> tuple[float, float]:
    """Processor seconds and MiB of `verify`, which starts git and nothing else."""
    process = dev.start("verify", "dev")
    seen, threads, children = psutil.Process(process.pid), 0, 0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        threads, children = max(threads, seen.num_threads()), max(children, len(seen.children()))
        time.sleep(0.02)
    out, err = process.stdout.read(), process.stderr.read()
    _, code, used = os.wait4(process.pid, 0)
    assert code == 0 and f"on {pods} servers: all right" in out, out + err
    assert children <= 1
    seconds, size = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(
        f"\n{pods} pods: {seconds:.1f} s of a processor, {size:.0f} MiB, {threads} threads, {children} further process"
    )
    return seconds, size
