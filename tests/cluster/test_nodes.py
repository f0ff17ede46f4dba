"""Nodes that are full, and nodes that go away."""

import json
import shutil
from typing import Any

from .environment import OVERLAY, Environment

Release = dict[str, Any]
PLACE = "test.example/place"  # a resource that no other pod asks for: a node can be full of these pods alone


def patch_node(dev: Environment, name: str, **status: Any) -> None:
    document = json.dumps({"status": status})
    dev.kubectl("patch", f"node/{name}", "--subresource=status", "--type=merge", f"--patch={document}")


def test_a_node_with_room_for_one_more_pod_of_production(dev: Environment, releases: dict[str, Release]) -> None:
    """Each old pod keeps its room until it is gone, and the next new one waits for that, and is no failure.

    They request what is committed for production: the node says that it has the CPUs.
    """
    for name in ("replicas.yaml", "resources.yaml"):
        shutil.copy(dev.fork.root / "k8s/overlays/production" / name, dev.fork.root / OVERLAY / name)
    replicas, node = 3, dev.get("nodes")["items"][0]
    place = {"requests": {PLACE: "1"}, "limits": {PLACE: "1"}}
    dev.patch("place", template={"spec": {"containers": [{"name": "serving", "resources": place}]}})
    room = {PLACE: str(replicas + 1)}
    patch_node(dev, node["metadata"]["name"], capacity=room, allocatable=room)
    try:
        dev.deploy(releases["one"])
        assert dev.get("deployment/serving")["spec"]["replicas"] == replicas
        with dev.load() as load:
            dev.deploy(releases["two"])
    finally:
        patch_node(dev, node["metadata"]["name"], capacity={PLACE: None}, allocatable={PLACE: None})
    load.check(releases["one"], releases["two"])
    dev.serves(releases["two"])


def test_a_node_that_is_not_ready_is_named_and_the_release_is_not_blamed(
    dev: Environment, releases: dict[str, Release]
) -> None:
    """The event is the test's: the cluster's own comes 40 s after a kubelet's last sign of life."""
    dev.patch("replicas", replicas=1)
    dev.fork.edit("scripts/environments/reasons.py", "NODE_SECONDS = 40", "NODE_SECONDS = 2")
    dev.promote(releases["silent"])
    process = dev.start("deploy", "dev")
    while not (pods := [pod for pod in dev.get("pods")["items"] if pod["status"].get("containerStatuses")]):
        assert process.poll() is None, process.communicate()[1]
    metadata = {"name": "away", "namespace": dev.namespace}
    subject = {"kind": "Pod", **{key: pods[0]["metadata"][key] for key in ("name", "namespace", "uid")}}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": subject, "type": "Warning"}
    words = {"reason": "NodeNotReady", "message": "Node is not ready"}
    dev.kubectl("create", "-f", "-", stdin=json.dumps(event | words))
    _, err = process.communicate()
    assert process.returncode == 1
    assert f"{subject['name']} is on {pods[0]['spec']['nodeName']}, which is not ready: Node is not ready" in err
    assert "nothing was put back" in err
    dev.promote(releases["one"])
    dev.ok("deploy", "dev")
    dev.serves(releases["one"])
