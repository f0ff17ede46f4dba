"""Deploy, verify, roll back: on a real cluster, as the deployer whom k8s/admission makes."""

import collections
import json
import subprocess
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from .environment import OVERLAY, Environment, answer, label

Release = dict[str, Any]


def ask_a_pod_that_leaves(dev: Environment, seconds: float, rounds: int = 50_000) -> subprocess.Popen:
    """Asks the one that was told last, as over a connection that was kept, what it computes until so long after it was told."""
    name, killed = max(dev.leaving().items(), key=lambda item: item[1])
    pod = dev.get(f"pod/{name}")
    url = f"http://{pod['status']['podIP']}:8501/v1/models/instant:predict"
    command = [*dev.cluster.in_node_network(), "curl", "--silent", "--show-error", "--fail", url, "--data"]
    begin = time.monotonic()
    subprocess.run([*command, f'{{"inputs": [[{rounds}.0]]}}'], check=True, capture_output=True)
    per_second = rounds / (time.monotonic() - begin)
    left = (killed - datetime.now(UTC)).total_seconds() - pod["metadata"]["deletionGracePeriodSeconds"] + seconds
    return subprocess.Popen(
        [*command, f'{{"inputs": [[{int(per_second * left)}.0]]}}'], stdout=subprocess.PIPE, text=True
    )


def test_there_and_back(dev: Environment, releases: dict[str, Release]):
    """First deploy of an empty environment, a second release, rollback, rollback of the rollback.

    A pod that leaves answers meanwhile, later than the 15 s after which SIGTERM would end it if it were idle.
    """
    one, two = releases["one"], releases["two"]
    result = dev.run("deploy", "dev")
    assert (result.code, result.err) == (0, "  skipped    dev has no release yet; next: ./pipeline promote dev\n")
    assert "2 servers: all right" in dev.deploy(one).err
    dev.serves(one)
    dev.deploy(two)
    asked = ask_a_pod_that_leaves(dev, 18)
    dev.serves(two)
    once = ["rollback", "dev", "--reason", "three is too many", "--seen", dev.fork.git("rev-parse", "HEAD").strip()]
    dev.ok(*once)
    twice = f"dev is to serve {label(one)} by now, and not {label(two)} as when this was asked for"
    assert dev.refused(*once).startswith(twice)
    dev.serves(one)
    dev.ok("rollback", "dev", "--reason", "it was not")
    dev.serves(two)
    dev.ok("rollback", "dev", "--to", label(one), "--reason", "by name")
    dev.serves(one)
    dev.ok("rollback", "dev", "--to", str(two["version"]), "--reason", "by version")
    history = [line.split() for line in dev.ok("history", "dev").out.splitlines()[2:]]
    assert [(action, release) for _, action, release, *_ in history[:6]] == [
        ("rollback", label(two)),
        ("rollback", label(one)),
        ("rollback", label(two)),
        ("rollback", label(one)),
        ("promote", label(two)),
        ("promote", label(one)),
    ]
    answered, _ = asked.communicate()
    assert "outputs" in answered


def test_a_release_that_never_served_there_is_put_there_by_force_only(dev: Environment, releases: dict[str, Release]):
    one, two = releases["one"], releases["two"]
    dev.patch("replicas", replicas=1)
    dev.promote(two)
    dev.deploy(one)
    rollback = ["rollback", "dev", "--to", label(two), "--reason", "untried"]
    assert dev.refused(*rollback).startswith(f"release {label(two)} has never served in dev\n")
    dev.serves(one)
    dev.ok(*rollback, "--force")
    dev.serves(two)


def test_a_row_of_them_under_load(dev: Environment, releases: dict[str, Release], pytestconfig: pytest.Config):
    """No request fails, each answer is right for the version that gave it, and a pod ends before it would be killed.

    A client that keeps its connection and does not ask again loses one request at most at each pod that goes. docs/clients.md has what this
    prints: `./pipeline test tests/cluster/test_deploy.py -k row -s --cycles 10`.
    """
    one, two, kept = releases["one"], releases["two"], 4
    switches = 1 + (pytestconfig.getoption("cycles") or 2)
    dev.patch("replicas", replicas=1)  # the harder case: the only pod hands over to its successor
    dev.deploy(one)
    with dev.load(per_second=25, kept=kept) as load:
        dev.deploy(two)
        for number in range(1, switches):
            dev.ok("rollback", "dev", "--reason", f"number {number}")
        verified = time.time()
        killed, pod = max((moment, name) for name, moment in dev.leaving().items())
        dev.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=120s")
        spare = (killed - datetime.now(UTC)).total_seconds()
    assert spare > 0
    load.check(one, two)
    new, old = (two, one) if switches % 2 else (one, two)
    dev.serves(new)
    by_kind = collections.Counter(line.split()[1].rstrip(":") for line in load.cut)
    assert all(count <= switches * kept for count in by_kind.values()), load.cut
    last = {name: round(moment - verified, 1) for name, moment in load.last.items() if name.endswith(f"{answer(old)}")}
    print(f"{load.total} requests, {switches} switches; lost: {dict(by_kind)}")
    print(f"seconds from verified to the last old answer: {last}; of the grace period left: {spare:.0f}")


def test_a_resource_that_is_no_longer_rendered_is_pruned_and_a_strangers_is_not(
    dev: Environment, releases: dict[str, Release]
):
    dev.kubectl("create", "configmap", "strangers")
    dev.fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/network-policy]")
    dev.fork.commit("network policy")
    dev.deploy(releases["one"])
    assert {item["metadata"]["name"] for item in dev.get("networkpolicy")["items"]} == {"default", "serving"}
    dev.fork.edit(f"{OVERLAY}/kustomization.yaml", "components: [../../components/network-policy]", "components: []")
    dev.fork.commit("none")
    status = dev.run("status", "dev")
    assert (status.code, "NetworkPolicy/serving is not rendered any more" in status.out) == (1, True)
    result = dev.ok("deploy", "dev")
    assert result.err.count("  pruned     NetworkPolicy/") == 2
    assert dev.get("networkpolicy")["items"] == []
    assert dev.get("configmap/strangers")
    dev.serves(releases["one"])


def test_what_people_changed_by_hand_is_drift_and_is_put_right(dev: Environment, releases: dict[str, Release]):
    dev.deploy(releases["one"])
    edit = [
        "env",
        "KUBE_EDITOR=sed -i 's/periodSeconds: 5/periodSeconds: 7/'",
        "kubectl",
        f"--kubeconfig={dev.cluster.kubeconfig}",
    ]
    subprocess.run(
        [*edit, f"--namespace={dev.namespace}", "edit", "deployment/serving"], check=True, capture_output=True
    )
    dev.kubectl("set", "env", "deployment/serving", "BY_HAND=1")
    dev.kubectl("rollout", "status", "deployment/serving")
    dev.kubectl("rollout", "pause", "deployment/serving")  # or deploy waits for pods that no controller makes
    result = dev.run("status", "dev")
    assert result.code == 1
    assert "Deployment/serving spec.paused: set by kubectl-rollout, and not by the overlay" in result.out
    assert "spec.template.spec.containers[serving].readinessProbe.periodSeconds: 7 → 5" in result.out
    assert "containers[serving].env[BY_HAND]: set by kubectl-set, and not by the overlay" in result.out
    dev.ok("deploy", "dev")
    dev.serves(releases["one"])
    assert "BY_HAND" not in dev.kubectl("get", "deployment/serving", "--output=yaml")


def test_a_controllers_field_is_a_conflict_that_names_it(dev: Environment, releases: dict[str, Release]):
    dev.deploy(releases["one"])
    spec = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serving"}, "spec": {"replicas": 1}}
    dev.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-f", "-", stdin=json.dumps(spec)
    )
    assert "Deployment/serving: flux owns .spec.replicas" in dev.refused("deploy", "dev")
    assert dev.get("deployment/serving")["spec"]["replicas"] == 1
