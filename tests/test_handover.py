"""The component for Argo Rollouts: as its own resource definitions want it, and its verdict as `deploy` reads it."""

from collections.abc import Callable
from typing import Any

import fastjsonschema
import pytest
from ruamel.yaml import YAML

from scripts.environments import handover
from scripts.environments.refusals import Failed
from scripts.ledger import shares
from scripts.workspace.errors import YourTurn
from tests.support import crds
from tests.support.fork import ROOT, Fork

ROLLOUTS = "github.com/argoproj/argo-rollouts@v1.8.3"
FILES = {"Rollout": "rollout", "AnalysisTemplate": "analysis"}
DEPLOYMENT = {"kind": "Deployment", "metadata": {"name": "serving", "generation": 7}, "spec": {"replicas": 3}}


def rollout(phase: str = "Healthy", seen: int = 7, generation: int = 2, **status: Any) -> dict[str, Any]:
    """As Argo Rollouts writes its status: generations as text."""
    found = {"workloadObservedGeneration": str(seen), "observedGeneration": str(generation), "phase": phase} | status
    return {"kind": "Rollout", "metadata": {"name": "serving", "generation": 2}, "status": found}


@pytest.fixture(scope="module")
def definitions() -> dict[str, Callable]:
    return crds.validators(ROLLOUTS, *(f"manifests/crds/{name}-crd.yaml" for name in ("rollout", "analysis-template")))


@pytest.mark.parametrize("kind", FILES)
def test_every_field_is_known(definitions: dict[str, Callable], kind: str) -> None:
    document = YAML(typ="safe").load((ROOT / f"k8s/components/rollouts/{FILES[kind]}.yaml").read_text())
    definitions[kind](document)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        definitions[kind](document | {"spec": document["spec"] | {"typo": 1}})


def test_the_controller_has_nothing_to_add() -> None:
    """It writes this into the steps of a Rollout that lacks it, and owns them from then on: as was seen with its own program."""
    document = YAML(typ="safe").load((ROOT / "k8s/components/rollouts/rollout.yaml").read_text())
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


def test_a_canary_of_our_own_beside_it_is_refused(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fork.root)
    way = 'dev = { context = "", by = "commit"'
    fork.edit("pyproject.toml", way, f"{way}, canary = {{ steps = [50] }}")
    with pytest.raises(YourTurn, match=r"is set in pyproject\.toml and by the component rollouts"):
        shares.check([DEPLOYMENT, rollout()], "dev")
