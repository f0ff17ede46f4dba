"""Deployments that fail: each is returned to the release before, which answers all along, and the error says why in words."""

import json
import re
from typing import Any

import pytest

from .environment import OVERLAY, Environment, label

Release = dict[str, Any]
CONTAINER = "serving"


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": CONTAINER, **fields}]}}


@pytest.fixture(scope="module")
def served(shared_dev: Environment, releases: dict[str, Release]) -> Environment:
    """`dev` with one pod of release `one`, and little patience with those that follow: to it every test here is returned."""
    shared_dev.patch("replicas", replicas=1)
    shared_dev.patch("patience", template=container(startupProbe={"failureThreshold": 12}))
    shared_dev.deploy(releases["one"])
    return shared_dev


def returned(dev: Environment, release: Release, expected: str, before: Release, *answering: Release) -> str:
    """Deploys `release`, which must fail with words that match `expected` and leave `before` serving. Returns the error."""
    with dev.load() as load:
        dev.promote(release)
        error = dev.refused("deploy", "dev")
    load.check(before, *answering)
    assert re.search(expected, error, re.DOTALL), error
    assert f"release {before['id'][:12]} serves again" in error
    dev.serves(before)
    newest = dev.ok("history", "dev").out.splitlines()[2]
    assert " return " in newest
    assert " failed: " in newest
    return error


DEFECTS = {
    "missing": "the image cannot be pulled: .*sha256:4444",
    "crashing": r"the server crashes again and again \(exit code 3\); its last words: the model is rotten",
    "threadless": "the server cannot start its threads: the kubelet's podPidsLimit is below 256 for each model",
    "silent": "Startup probe failed: .*connection refused",
    "wrong": r"example 1 by REST: y\[0\]\[0\] is 30.0, not 31.0",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_release(served: Environment, releases: dict[str, Release], defect: str):
    answering = [releases["two"]] if defect == "wrong" else []
    returned(served, releases[defect], DEFECTS[defect], releases["one"], *answering)


def test_a_pod_that_does_not_fit_the_node(served: Environment, releases: dict[str, Release]):
    served.patch("greed", template=container(resources={"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}))
    returned(served, releases["two"], "does not fit: 0/1 nodes are available: 1 Insufficient cpu", releases["one"])
    assert "greed" not in served.fork.git("show", f"HEAD:{OVERLAY}/kustomization.yaml")


def test_an_image_by_tag_in_a_second_container_is_refused_by_admission(
    served: Environment, releases: dict[str, Release]
):
    served.patch("sidecar", template={"spec": {"containers": [{"name": "sidecar", "image": "busybox:latest"}]}})
    expected = (
        "Deployment/serving is refused: .*only images by digest are admitted here, and this is none: busybox:latest"
    )
    returned(served, releases["two"], expected, releases["one"])


def test_a_pod_that_pod_security_refuses(served: Environment, releases: dict[str, Release]):
    served.patch("root", template=container(securityContext={"runAsNonRoot": False, "runAsUser": 0}))
    returned(served, releases["two"], "no pod can be made: .*runAsNonRoot", releases["one"])


def test_a_digest_written_by_hand_that_no_registry_has(served: Environment, releases: dict[str, Release]):
    for name in ("kustomization.yaml", "release.json"):
        served.fork.edit(f"{OVERLAY}/{name}", releases["one"]["image"]["digest"], f"sha256:{'5' * 64}")
    served.fork.edit(f"{OVERLAY}/release.json", releases["one"]["id"], "5" * 64)
    served.fork.commit("by hand")
    error = served.refused("deploy", "dev")
    assert "the image cannot be pulled" in error
    served.serves(releases["one"])


def test_a_quota_that_is_used_up(served: Environment, releases: dict[str, Release]):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    served.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    returned(
        served,
        releases["two"],
        "no pod can be made: exceeded quota: few, requested: pods=1, used: pods=",
        releases["one"],
    )


def test_the_first_deployment_has_nothing_to_return_to(dev: Environment, releases: dict[str, Release]):
    dev.patch("replicas", replicas=1)
    dev.promote(releases["crashing"])
    assert "there is no other release to put back" in dev.refused("deploy", "dev")
    assert dev.run("status", "dev").code == 1
    back = ("--to", label(releases["crashing"]), "--force", "--reason", "at night")
    assert "there is no other release to put back" in dev.refused("rollback", "dev", *back)
    newest = json.loads(dev.ok("history", "dev", "--json", "-").out)[-1]
    assert (newest["action"], newest["outcome"]) == ("rollback", "failed")
    assert newest["reason"].startswith(f"to {label(releases['crashing'])}: at night: Deployment/serving: ")
    dev.deploy(releases["one"])
    dev.serves(releases["one"])
