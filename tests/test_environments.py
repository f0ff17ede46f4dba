"""What environments are judged by, without a cluster: their memory, whose field is whose, what a pod runs, what a refusal means, how long
is waited, and when a deployer stops."""

import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.environments import lease, memory, objects, ownership, pods, reasons, rollout
from scripts.environments.api import Api, UnknownKind
from scripts.environments.memory import Memory, Unreadable
from scripts.environments.refusals import ClusterRefusal, Failed, explain
from scripts.ledger.entries import Entry
from scripts.workspace.errors import YourTurn

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
        (404, 'admission webhook "w" denied the request: no such team', True),
        (404, "<html>no such page</html>", False),
        (409, "Operation cannot be fulfilled: the object has been modified", False),
    ],
    ids=["admission", "invalid", "role", "namespace that goes", "namespace that is gone", "webhook", "proxy", "moment"],
)
def test_who_is_to_blame_for_a_refusal(status: int, message: str, blamed: bool) -> None:
    error = explain(ClusterRefusal(status, {"message": message}), "Deployment/serving", "dev")
    assert isinstance(error, Failed) is blamed


@pytest.mark.parametrize(
    ("message", "passes", "blamed", "mend"),
    [
        (
            'pods "x" is forbidden: exceeded quota: few, requested: pods=1',
            True,
            True,
            "ask for less in k8s/overlays/dev",
        ),
        ('Internal error occurred: failed calling webhook "w": connect: connection refused', True, False, "webhook"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', False, True, "mend that in"),
    ],
    ids=["quota", "webhook that is away", "pod security"],
)
def test_what_may_pass_is_waited_for(
    message: str, passes: bool, blamed: bool, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not without end; a webhook that stays away is not the release's fault."""
    owner, revision = {"name": "serving", "uid": "d"}, {"deployment.kubernetes.io/revision": "1"}
    refused = {"type": "ReplicaFailure", "status": "True", "message": message}
    deployment = {"metadata": owner | {"annotations": revision}}
    new = {"metadata": {"name": "serving-1", "uid": "r", "annotations": revision, "ownerReferences": [owner]}}
    judge = reasons.Reasons(cast(Api, SimpleNamespace(environment="dev")), "serving-dev", "serving")
    with nullcontext() if passes else pytest.raises(Failed, match="no pod can be made"):
        judge.check(deployment, [new | {"status": {"conditions": [refused]}}], [])
    monkeypatch.setattr(reasons, "QUOTA_SECONDS", 0)
    monkeypatch.setattr(reasons, "AWAY_SECONDS", 0)
    with pytest.raises(YourTurn, match="no pod can be made") as error:
        judge.check(deployment, [new | {"status": {"conditions": [refused]}}], [])
    assert isinstance(error.value, Failed) is blamed
    assert mend in error.value.remedy


class Answering:
    """An API server that answers each request as `answer` does."""

    environment = "dev"

    def __init__(self, answer: Callable[[str], Any]):
        self.answer = answer

    def request(self, method: str, *arguments: Any, **query: str) -> Any:
        return self.answer(method)

    def find(self, path: str) -> None:
        return None

    def delete(self, path: str, body: Any) -> None:
        return


def test_an_outage_is_no_kind_that_is_gone() -> None:
    """What could not be looked for is not forgotten, but is pruned by the same command again."""

    def stumbling(error: YourTurn) -> objects.Objects:
        def path(*arguments: str) -> str:
            raise error

        return objects.Objects(cast(Api, SimpleNamespace(environment="dev", path=path)), "serving-dev")

    stumbling(UnknownKind("knows no PodMonitor", "")).prune("monitoring.coreos.com/v1 PodMonitor serving")
    with pytest.raises(YourTurn, match="does not answer"):
        stumbling(YourTurn("does not answer", "")).prune("v1 ConfigMap serving")


def deploying(answer: Callable[[str], Any]) -> rollout.Rollout:
    return rollout.Rollout(cast(Api, Answering(answer)), "serving-dev", "serving", {})


def test_pods_that_come_and_go_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "STILL_SECONDS", 0.2)
    flapping, ended = deploying(lambda method: None), threading.Event()

    def flap() -> None:
        for available in [*[0, 1] * 200, 2]:
            status = {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": available}
            live = {"metadata": {"uid": "d", "generation": 1}, "spec": {"replicas": 2}, "status": status}
            flapping.objects["deployments"] = {"serving": live}
            flapping._changed.set()
            ended.wait(0.01)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        with pytest.raises(YourTurn, match="have done nothing"):
            flapping._wait(1)
    finally:
        ended.set()
        thread.join()


def test_a_watch_that_ends_by_a_defect_of_ours_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "STILL_SECONDS", 0.2)
    with pytest.raises(TypeError):
        deploying(lambda method: None).wait(1)


def test_a_deployer_stops_before_another_may_begin_though_its_renewal_has_no_answer_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("SECONDS", 1), ("RENEW_SECONDS", 0.2), ("LOOK_SECONDS", 0.05)):
        monkeypatch.setattr(lease, name, seconds)
    stopped, said = threading.Event(), []

    def answer(method: str) -> dict[str, Any]:
        if method == "PUT":
            said.append("stopped" if stopped.wait(10) else "answered")
            raise YourTurn("no answer", "")
        return {"metadata": {"resourceVersion": "1"}, "spec": {}}

    def work() -> None:
        with lease.held(cast(Api, Answering(answer)), "serving-dev", "deploy"):
            try:
                while said != ["answered"]:
                    stopped.wait(0.05)
            finally:
                stopped.set()

    with pytest.raises(YourTurn, match="could not be renewed in time"):
        work()
    assert said == ["stopped"]
