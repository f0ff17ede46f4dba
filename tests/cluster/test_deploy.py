"""Deploy, verify, roll back: on a real cluster, as the deployer whom k8s/admission makes."""

import json
import subprocess
from typing import Any

from .environment import OVERLAY, Environment, label

Release = dict[str, Any]


def test_there_and_back(dev: Environment, releases: dict[str, Release]):
    """First deploy of an empty environment, a second release, rollback, rollback of the rollback."""
    one, two = releases["one"], releases["two"]
    result = dev.run("deploy", "dev")
    assert (result.code, result.err) == (0, "  skipped    dev has no release yet; next: ./pipeline promote dev\n")
    assert "2 servers: all right" in dev.deploy(one).err
    dev.serves(one)
    dev.deploy(two)
    dev.serves(two)
    dev.ok("rollback", "dev", "--reason", "three is too many")
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


def test_six_in_a_row_under_load(dev: Environment, releases: dict[str, Release]):
    """Deploys and rollbacks: no request fails, and each answer is right for the version that gave it."""
    one, two = releases["one"], releases["two"]
    dev.patch("replicas", replicas=1)  # the harder case: the only pod hands over to its successor
    dev.deploy(one)
    with dev.load() as load:
        dev.deploy(two)
        for number in range(5):
            dev.ok("rollback", "dev", "--reason", f"number {number}")
    load.check(one, two)
    dev.serves(one)


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
    result = dev.run("status", "dev")
    assert result.code == 1
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
