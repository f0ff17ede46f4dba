"""What environments are judged by, without a cluster: their memory, whose field is whose, what a pod runs, what a refusal means."""

import json
from typing import Any

import pytest

from scripts.environments import memory, ownership, pods, reasons
from scripts.environments.memory import Memory, Unreadable
from scripts.environments.refusals import ClusterRefusal, Failed, explain
from scripts.ledger.entries import Entry

DIGEST = f"sha256:{'1' * 64}"


def entry(release: str, action: str = "deploy", outcome: str = "serving", reason: str = "") -> Entry:
    return Entry("2026-01-01T00:00:00+00:00", action, release, outcome, reason)


def labels(found: Memory) -> list[str]:
    return [line["release"] for line in found.served]


def test_fifty_deployments_of_one_release_are_one_release() -> None:
    found = Memory().with_served(entry("1-a"), "r")
    for number in range(60):
        found = found.with_served(entry("2-b"), f"r{number}")
    assert labels(found) == ["1-a", "2-b"]
    written = {"inventory": "[]", "served": json.dumps([found.served[0], *[found.served[1]] * 49])}
    assert labels(memory.read(written)) == ["1-a", "2-b"]
    for number in range(memory.REMEMBERED):
        found = found.with_served(entry(f"{number}-c"), "r")
    assert len(found.served) == memory.REMEMBERED
    assert memory.read(found.data()) == found


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"inventory": "[]"},
        {"inventory": "[]", "served": "[{"},
        {"inventory": '["Deployment"]', "served": "[]"},
        {"inventory": "[]", "served": '[{"release": "1-a"}]'},
        {"inventory": "[]", "served": "[]", "begun": '"now"'},
    ],
    ids=["nothing", "half", "no JSON", "no identity", "no revision", "no act"],
)
def test_a_memory_that_somebody_edited_is_unreadable(data: dict[str, str]) -> None:
    with pytest.raises(Unreadable):
        memory.read(data)


def test_what_is_begun_comes_back_as_it_was() -> None:
    begun = Entry("2026-11-27T17:00:00+00:00", "deploy", "1-aaaaaaaaaaaa", "started", reason="why", override="a hotfix")
    assert Entry(**memory.read(memory.Memory().with_begun(begun).data()).begun or {}) == begun


def test_what_git_says_where_the_memory_is_gone() -> None:
    history = [
        entry("–", "edit", "promoted"),
        entry("1-a", "promote", "promoted"),
        entry("2-b", "promote", "promoted"),
        entry("1-a", "return", reason="2-b failed: it crashes"),
        entry("3-c", "promote", "promoted"),
    ]
    assert labels(memory.recalled(history, "1-a", [], "r")) == ["3-c", "1-a"]
    assert labels(memory.recalled(history, None, [], "r")) == ["1-a", "3-c"]


def test_what_was_rolled_back_is_remembered_until_it_is_wanted_again() -> None:
    promoted = [entry("1-a", "promote"), entry("2-b", "promote", reason="better")]
    found = Memory().with_taken_back([*promoted, entry("1-a", "rollback", reason="slow")])
    assert memory.read(found.data()).why_not("b", promoted) == "slow"
    assert found.why_not("b", [*promoted, entry("3-c", "promote"), entry("2-b", "promote")]) == "slow"
    wanted = [*promoted, entry("3-c", "promote"), entry("2-b", "promote", reason="it was the network")]
    assert found.why_not("b", wanted) == ""
    assert found.with_taken_back([*wanted, entry("3-c", "promote")]).taken_back == {}


def deployment(fields: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    own = {"manager": "pipeline", "operation": "Apply", "fieldsV1": fields}
    scaler = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale"}
    scaler |= {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    metadata = {"name": "serving", "managedFields": [own, scaler], "annotations": annotations or {}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


CONTAINER = 'k:{"name":"serving"}'
LEFT = {ownership.LEFT: "spec.template.spec.containers[serving].resources"}


def test_what_is_left_to_others_is_no_longer_ours_and_keeps_its_value() -> None:
    tree = {
        "f:template": {
            "f:spec": {"f:containers": {CONTAINER: {".": {}, "f:image": {}, "f:resources": {"f:limits": {}}}}}
        }
    }
    containers = [{"name": "serving", "image": "i", "resources": {"limits": {"cpu": "2"}}}]
    live = deployment({"f:spec": {"f:replicas": {}, **tree}}, replicas=6, template={"spec": {"containers": containers}})
    template = {"spec": {"containers": [{"name": "serving", "image": "i"}]}}
    manifest = deployment({}, LEFT, template=template)
    mine, scaler = ownership.settled(live, manifest) or []
    kept = mine["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"][CONTAINER]
    assert kept == {".": {}, "f:image": {}}
    assert "f:replicas" not in mine["fieldsV1"]["f:spec"]
    assert scaler == live["metadata"]["managedFields"][1]
    filled = ownership.filled(manifest, live)
    assert filled["spec"] == live["spec"]


def test_what_was_left_to_others_is_taken_back_whoever_has_it_by_then() -> None:
    live = deployment({"f:spec": {}}, {ownership.LEFT: "spec.replicas"}, replicas=6)
    manifest = deployment({}, replicas=3)
    assert ownership.is_disputed(live, manifest)
    assert [e["manager"] for e in ownership.settled(live, manifest) or []] == ["pipeline"]
    strangers = deployment({"f:spec": {}}, replicas=6)  # never left to anybody: a conflict, which says so
    assert not ownership.is_disputed(strangers, manifest)
    assert ownership.settled(strangers, manifest) is None


@pytest.mark.parametrize(
    ("told", "runs", "expected"),
    [
        (f"ghcr.io/o/r@{DIGEST}", f"ghcr.io/o/r@{DIGEST}", True),
        (f"mirror.example/o/r@{DIGEST}", f"mirror.example/o/r@{DIGEST}", True),
        (f"ghcr.io/o/r@{DIGEST}", "sha256:loaded-by-hand", True),
        (f"ghcr.io/o/r@{DIGEST[:-1]}2", f"ghcr.io/o/r@{DIGEST[:-1]}2", False),
        (f"ghcr.io/o/r@{DIGEST}", f"ghcr.io/o/r@{DIGEST[:-1]}2", False),
    ],
    ids=["as told", "by a mirror", "loaded by hand", "told another", "runs another"],
)
def test_a_digest_is_a_digest(told: str, runs: str, expected: bool) -> None:
    container = {"name": "serving", "image": told}
    status = {"containerStatuses": [{"name": "serving", "imageID": runs}]}
    assert pods.runs({"spec": {"containers": [container]}, "status": status}, f"ghcr.io/o/r@{DIGEST}") is expected


@pytest.mark.parametrize(
    ("status", "message", "blamed"),
    [
        (403, "deployments.apps \"serving\" is forbidden: ValidatingAdmissionPolicy 'x' denied request: a tag", True),
        (422, 'Deployment.apps "serving" is invalid: spec.replicas: must be positive', True),
        (403, 'User "x" cannot patch resource "deployments" in API group "apps" in the namespace "n"', False),
        (403, "unable to create new content in namespace n because it is being terminated", False),
        (404, 'namespaces "n" not found', False),
    ],
    ids=["admission", "invalid", "role", "namespace that goes", "namespace that is gone"],
)
def test_who_is_to_blame_for_a_refusal(status: int, message: str, blamed: bool) -> None:
    error = explain(ClusterRefusal(status, {"message": message}), "Deployment/serving", "dev")
    assert isinstance(error, Failed) is blamed


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ('pods "x" is forbidden: exceeded quota: few, requested: pods=1', True),
        ('Internal error occurred: failed calling webhook "w": connect: connection refused', True),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', False),
    ],
    ids=["quota", "webhook that is away", "pod security"],
)
def test_what_may_pass_is_waited_for(message: str, passes: bool) -> None:
    assert bool(reasons.PASSES.search(message)) is passes
