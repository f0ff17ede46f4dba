"""The number of pods, handed to an autoscaler and taken back: no request is lost, and no pod less answers than before."""

import threading
from typing import Any

from .environment import OVERLAY, Environment

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
