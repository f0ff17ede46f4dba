"""What is handed to others: the number of pods, to an autoscaler and back, where no request is lost and no pod less answers than before;
and the verdict on a release, to Argo Rollouts, whose status is written here as its controller writes it.
"""

import json
import threading
from typing import Any

import pytest

from .conftest import Cluster
from .environment import OVERLAY, Environment
from .test_disturbances import until
from .test_refusals import DEFINED, define

PODS = 3
COMPONENT = "components: [../../components/autoscaling]"


class Lowest:
    """The fewest ready endpoints of the Service that were seen while the block ran."""

    def __init__(self, dev: Environment):
        self.dev, self.found, self._done = dev, PODS, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(0.2):
            slices = self.dev.get("endpointslices", "--selector=kubernetes.io/service-name=serving")["items"]
            ready = {
                a for s in slices for e in s["endpoints"] or [] if e["conditions"]["ready"] for a in e["addresses"]
            }
            self.found = min(self.found, len(ready))

    def __enter__(self) -> "Lowest":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()


def test_to_the_autoscaler_and_back(dev: Environment, releases: dict[str, Any]) -> None:
    kustomization = f"{OVERLAY}/kustomization.yaml"
    dev.fork.edit(f"{OVERLAY}/replicas.yaml", "replicas: 2", f"replicas: {PODS}")
    dev.fork.commit("some pods")
    dev.deploy(releases["one"])
    with dev.load() as load, Lowest(dev) as lowest:
        dev.fork.edit(kustomization, "components: []", COMPONENT)
        dev.fork.edit(kustomization, "  - path: replicas.yaml\n", "")
        dev.fork.commit("as the component's README says")
        changes = dev.ok("deploy", "dev").err
        assert "Deployment/serving spec.replicas" not in changes
        assert dev.get("deployment/serving")["spec"]["replicas"] == PODS
        dev.kubectl("scale", "deployment/serving", f"--replicas={PODS}")  # owned by another, as after a scaling
        dev.serves(releases["one"])
        dev.fork.edit(kustomization, COMPONENT, "components: []")
        dev.fork.edit(kustomization, "patches:\n", "patches:\n  - path: replicas.yaml\n")
        dev.fork.commit("and back")
        dev.ok("deploy", "dev")
        dev.serves(releases["one"])
        assert dev.get("horizontalpodautoscalers")["items"] == []
    assert lowest.found == PODS
    load.check(releases["one"])


class Rollouts:
    """Argo Rollouts, as far as `deploy` sees it."""

    def __init__(self, dev: Environment):
        self.dev = dev

    def judge(self, phase: str, **status: Any) -> None:
        deployment, rollout = self.dev.get("deployment/serving"), self.dev.get("rollout/serving")
        seen = {"workloadObservedGeneration": str(deployment["metadata"]["generation"])}
        # Here a status is a change like any other: it has no resource of its own.
        seen["observedGeneration"] = str(rollout["metadata"]["generation"] + 1)
        patch = json.dumps({"status": {"abort": None, "message": None} | seen | {"phase": phase} | status})
        self.dev.kubectl("patch", "rollout/serving", "--type=merge", f"--patch={patch}", "--field-manager=rollouts")


@pytest.fixture
def rollouts(dev: Environment, cluster: Cluster) -> Rollouts:
    define(cluster, *(kind for kind in DEFINED if kind[2] == "argoproj.io"))
    kustomization = f"{OVERLAY}/kustomization.yaml"
    dev.fork.edit(kustomization, "components: []", "components: [../../components/rollouts]")
    dev.fork.edit(kustomization, "  - path: replicas.yaml\n", "")
    dev.fork.commit("as the component's README says")
    return Rollouts(dev)


def test_the_verdict_of_argo_rollouts_is_waited_for(rollouts: Rollouts, releases: dict[str, Any]) -> None:
    dev, waiting = rollouts.dev, "rollout    Argo Rollouts: it has not seen the new template yet"
    dev.promote(releases["one"])
    process = dev.start("deploy", "dev")
    until(process, waiting)
    rollouts.judge("Progressing", message="more replicas need to be updated")
    until(process, "rollout    Argo Rollouts: Progressing: more replicas need to be updated")
    rollouts.judge("Healthy")
    assert process.wait() == 0, process.communicate()[1]
    dev.serves(releases["one"])

    dev.promote(releases["two"])
    process = dev.start("deploy", "dev")
    until(process, waiting)
    rollouts.judge("Degraded", abort=True, message='metric "errors" assessed Failed')
    until(process, waiting)  # for the release before, which is put back
    rollouts.judge("Healthy")
    error = process.communicate()[1]
    assert process.returncode == 1
    assert 'Argo Rollouts has taken it back (Degraded: metric "errors" assessed Failed); release ' in error
    dev.serves(releases["one"])
