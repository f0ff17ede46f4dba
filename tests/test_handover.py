"""The components for Argo Rollouts and Flagger: as their own resource definitions want them, and the verdicts as `deploy` reads them."""

from collections.abc import Callable
from typing import Any, cast

import fastjsonschema
import pytest
from ruamel.yaml import YAML

from scripts.environments import flagger, handover
from scripts.environments.objects import Objects
from scripts.environments.refusals import Failed
from scripts.ledger import handovers, shares
from scripts.workspace.canaries import Canary
from scripts.workspace.errors import YourTurn
from tests.support import crds
from tests.support.fork import ROOT, Fork

ROLLOUTS, FLAGGER = "github.com/argoproj/argo-rollouts@v1.8.3", "github.com/fluxcd/flagger@v1.36.1"
FILES = {"rollouts/rollout", "rollouts/analysis", "flagger/canary", "flagger/metrics"}
DEPLOYMENT = {"kind": "Deployment", "metadata": {"name": "serving", "generation": 7}, "spec": {"replicas": 3}}


def rollout(phase: str = "Healthy", seen: int = 7, generation: int = 2, **status: Any) -> dict[str, Any]:
    """As Argo Rollouts writes its status: generations as text."""
    found = {"workloadObservedGeneration": str(seen), "observedGeneration": str(generation), "phase": phase} | status
    return {"kind": "Rollout", "metadata": {"name": "serving", "generation": 2}, "status": found}


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((ROOT / f"k8s/components/{name}.yaml").read_text()))


@pytest.fixture(scope="module")
def definitions() -> dict[str, Callable]:
    files = (f"manifests/crds/{name}-crd.yaml" for name in ("rollout", "analysis-template"))
    return crds.validators(ROLLOUTS, *files) | crds.validators(FLAGGER, "artifacts/flagger/crd.yaml")


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_field_is_known(definitions: dict[str, Callable], name: str) -> None:
    for document in documents(name):
        definitions[document["kind"]](document)
        with pytest.raises(fastjsonschema.JsonSchemaException):
            definitions[document["kind"]](document | {"spec": document["spec"] | {"typo": 1}})


def test_the_controller_has_nothing_to_add() -> None:
    """It writes this into the steps of a Rollout that lacks it, and owns them from then on: as was seen with its own program."""
    (document,) = documents("rollouts/rollout")
    analyses = [s["analysis"] for s in document["spec"]["strategy"]["canary"]["steps"] if "analysis" in s]
    assert [analysis["analysisRunMetadata"] for analysis in analyses] == [{}]


WAITING = {
    "not seen": (rollout(seen=6), "it has not seen the new template yet"),
    "new": ({"metadata": {"generation": 1}}, "it has not seen the new template yet"),
    "its own change": (rollout(generation=1), "it has not seen its own change yet"),
    "under way": (
        rollout("Progressing", message="more replicas need to be updated"),
        "Progressing: more replicas need",
    ),
    "paused": (rollout("Paused", message="CanaryPauseStep"), "Paused: CanaryPauseStep"),
    "there": (rollout(), ""),
    "there, and the Deployment scaled down": (rollout(seen=8), ""),
}


@pytest.mark.parametrize("name", WAITING)
def test_is_waited_for(name: str) -> None:
    document, said = WAITING[name]
    found = handover.verdict(document, DEPLOYMENT)
    assert found.startswith(said) and bool(found) == bool(said)


@pytest.mark.parametrize("status", [{"phase": "Degraded", "message": "RolloutAborted: errors"}, {"abort": True}])
def test_an_abort_is_the_releases_failure(status: dict[str, Any]) -> None:
    with pytest.raises(Failed, match="Argo Rollouts has taken it back"):
        handover.verdict(rollout(**status), DEPLOYMENT)


def test_an_old_abort_is_not_taken_for_the_new_template_s() -> None:
    assert handover.verdict(rollout("Degraded", seen=6, abort=True), DEPLOYMENT)


def template(image: str, name: str = "serving", **annotations: str) -> dict[str, Any]:
    """A Deployment, as Flagger copies it: its pods and what they ask for are called by another name."""
    known = {"app.kubernetes.io/name": name, flagger.LABEL: "true"}
    spec = {
        "containers": [{"name": "serving", "image": image}],
        "topologySpreadConstraints": [{"labelSelector": known}],
    }
    metadata = {"labels": known} | ({"annotations": annotations} if annotations else {})
    return {"spec": {"template": {"metadata": metadata, "spec": spec}}}


def canary(phase: str, turn: int = 0, **status: Any) -> dict[str, Any]:
    return {"status": {"phase": phase, "lastTransitionTime": str(turn)} | status}


NEW = template("new")
COPIED, BEFORE = (template(image, "serving-primary", **{"flagger-id": "1"}) for image in ("new", "old"))
TOLD = {
    "not begun": ([({"spec": {}}, None)], "it has not begun"),
    "first": ([(canary("Initializing"), COPIED)], "Initializing"),
    "not seen": ([(canary("Succeeded"), BEFORE)], "it has not seen the new template yet"),
    "under way": ([(canary("Progressing"), BEFORE)], "Progressing"),
    "bad looks": ([(canary("Progressing", failedChecks=2), BEFORE)], "Progressing, 2 bad looks"),
    "copied, with pods of the trial left": ([(canary("Finalising"), COPIED)], "Finalising"),
    "there": ([(canary("Succeeded"), COPIED)], ""),
    "there from the first": ([(canary("Initialized"), COPIED)], ""),
    "put back after a failure": ([(canary("Failed"), COPIED)], ""),
    "a trial that was cut off": (
        [(canary("Progressing", lastAppliedSpec="a"), COPIED), (canary("Succeeded", lastAppliedSpec="a"), COPIED)],
        "it has not seen the new template yet",
    ),
    "ours after one that was cut off": (
        [
            (canary("Progressing", lastAppliedSpec="a"), COPIED),
            (canary("Progressing", lastAppliedSpec="b"), COPIED),
            (canary("Succeeded", lastAppliedSpec="b"), COPIED),
        ],
        "",
    ),
    "our own trial, looked at again": (
        [(canary("Progressing", lastAppliedSpec="a"), BEFORE), (canary("Succeeded", lastAppliedSpec="a"), COPIED)],
        "",
    ),
    "an old failure": (
        [(canary("Failed", turn), BEFORE) for turn in (1, 2, 2, 3)],
        "it has not seen the new template yet",
    ),
    "an old failure, and then ours is seen": (
        [(canary("Failed"), BEFORE), (canary("Progressing"), BEFORE)],
        "Progressing",
    ),
}


def read(looks: list[tuple[Any, Any]]) -> str:
    verdict = flagger.Verdict(cast(Objects, None))
    return [verdict.read(*look, NEW) for look in looks][-1]


@pytest.mark.parametrize("name", TOLD)
def test_flagger_is_waited_for(name: str) -> None:
    looks, said = TOLD[name]
    assert read(looks) == said


@pytest.mark.parametrize("before", [[canary("Progressing")], [canary("Failed", turn) for turn in (1, 2, 3)]])
def test_a_failure_that_comes_or_that_stays_is_the_releases(before: list[dict[str, Any]]) -> None:
    with pytest.raises(Failed, match="Flagger has taken it back"):
        read([(status, BEFORE) for status in [*before, canary("Failed", 4)]])


class Live:
    """What is there already: a Service of each name, with that selector."""

    def __init__(self, **selectors: dict[str, str]):
        self.services = {name: {"spec": {"selector": selector}} for name, selector in selectors.items()}

    def find(self, _version: str, _kind: str, name: str) -> dict[str, Any] | None:
        return self.services.get(name)


def test_what_finds_pods_by_something_new_follows_them_and_flagger_begins_after_that() -> None:
    old, new = {"app.kubernetes.io/name": "serving"}, {flagger.LABEL: "true"}
    manifests = [{"kind": "Canary", "metadata": {"name": "serving"}}, DEPLOYMENT]
    manifests += [
        {"kind": "Service", "metadata": {"name": n}, "spec": {"selector": new}} for n in ("same", "other", "first")
    ]
    found = handover.late(cast(Objects, Live(same=new, other=old)), manifests)
    assert [manifest["metadata"]["name"] for manifest in found] == ["other", "serving"]


def test_flaggers_bounds_are_those_of_the_settings() -> None:
    (analysis,) = (document["spec"]["analysis"] for document in documents("flagger/canary"))
    bounds, settings = {m["name"]: m["thresholdRange"] for m in analysis["metrics"]}, Canary()
    assert (bounds["errors"]["max"], bounds["slower"]["max"]) == (settings.errors, settings.slower)
    assert int(analysis["interval"].removesuffix("s")) * analysis["iterations"] == settings.minutes * 60
    (minutes,) = {int(m["interval"].removesuffix("m")) for m in analysis["metrics"]}
    assert bounds["requests"]["min"] == settings.requests * minutes / settings.minutes


@pytest.mark.parametrize(("component", "other"), [("rollouts", rollout()), ("flagger", {"kind": "Canary"})])
def test_a_canary_of_our_own_beside_it_is_refused(
    fork: Fork, monkeypatch: pytest.MonkeyPatch, component: str, other: dict[str, Any]
) -> None:
    monkeypatch.chdir(fork.root)
    way = 'dev = { context = "", by = "commit"'
    fork.edit("pyproject.toml", way, f"{way}, canary = {{ steps = [50] }}")
    with pytest.raises(YourTurn, match=rf"is set in pyproject\.toml and by the component {component}"):
        shares.check([DEPLOYMENT, other], "dev")


def test_both_controllers_are_refused() -> None:
    with pytest.raises(YourTurn, match="has the components rollouts and flagger, and each would own the pods"):
        handovers.check([rollout(), {"kind": "Canary"}], "k8s/overlays/dev")
