"""Where Argo Rollouts or Flagger owns the pods: its verdict on what `deploy` has written into the Deployment is waited for, never fought.

k8s/components/rollouts: the Rollout takes its template from the Deployment, which it scales down to no pods of its own.
"""

import time
from collections.abc import Callable

from scripts.environments import flagger
from scripts.environments.objects import Objects
from scripts.environments.refusals import Failed
from scripts.ledger.kustomization import NAME
from scripts.ledger.rendering import Manifest
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

KIND = ("argoproj.io/v1alpha1", "Rollout", NAME)
PATIENCE_SECONDS = 3000  # a workflow's job ends after an hour
LOOK_SECONDS = 2


def late(objects: Objects, manifests: list[Manifest]) -> list[Manifest]:
    """What follows the pods: Services that find them by something new, and then Flagger's Canary."""
    services = [
        manifest for manifest in manifests if manifest["kind"] == "Service" and _finds_others(objects, manifest)
    ]
    return services + [manifest for manifest in manifests if manifest["kind"] == "Canary"]


def _finds_others(objects: Objects, service: Manifest) -> bool:
    live = objects.find("v1", "Service", service["metadata"]["name"])
    return bool(live) and live["spec"].get("selector") != service["spec"].get("selector")


def bring(objects: Objects, late: list[Manifest], at_once: bool = False) -> None:
    """Applies these in their order; `at_once`: Flagger tries nothing out."""
    for manifest in late:
        is_canary = manifest["kind"] == "Canary"
        objects.bring(flagger.without_analysis(manifest) if at_once and is_canary else manifest)


def wait(objects: Objects, manifests: list[Manifest], deployment: Manifest) -> None:
    """Returns once that which owns the pods, if `manifests` have it, serves the Deployment's template. Raises Failed if taken back."""
    kinds = {manifest["kind"] for manifest in manifests}
    if "Rollout" in kinds:
        look = f"kubectl argo rollouts get rollout {NAME}"
        _wait("Argo Rollouts", lambda: verdict(objects.find(*KIND), deployment), look)
    if "Canary" in kinds:
        found = flagger.Verdict(objects)
        _wait("Flagger", lambda: found(deployment), f"kubectl describe canary {NAME}")


def _wait(who: str, verdict: Callable[[], str], look: str) -> None:
    said, deadline = "", time.monotonic() + PATIENCE_SECONDS
    while progress := verdict():
        if progress != said:
            console.say(f"  rollout    {who}: {progress}")
        said = progress
        if time.monotonic() > deadline:
            problem = f"{who} has come to no end in {PATIENCE_SECONDS // 60} minutes ({said})"
            raise YourTurn(problem, f"{look}; the same command again waits on")
        time.sleep(LOOK_SECONDS)


def verdict(rollout: Manifest | None, deployment: Manifest) -> str:
    """How far it has come, in words; empty once it is there. Raises Failed if it was aborted."""
    if not rollout:
        raise YourTurn(f"somebody has deleted Rollout/{NAME}", "the same command again")
    status, metadata = rollout.get("status", {}), rollout["metadata"]
    if (
        _number(status, "workloadObservedGeneration") < deployment["metadata"]["generation"]
    ):  # scaling it down counts on
        return "it has not seen the new template yet"
    if _number(status, "observedGeneration") < metadata["generation"]:
        return "it has not seen its own change yet"
    words = ": ".join(filter(None, (status.get("phase", ""), status.get("message", ""))))
    if status.get("abort") or status.get("phase") == "Degraded":
        raise Failed(f"Argo Rollouts has taken it back ({words})", f"kubectl argo rollouts get rollout {NAME}")
    return "" if status.get("phase") == "Healthy" else words or "it has not begun"


def _number(status: Manifest, key: str) -> int:
    """A generation, which Argo Rollouts writes as text."""
    text = str(status.get(key, ""))
    return int(text) if text.isdigit() else 0
