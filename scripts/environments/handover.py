"""Where Argo Rollouts owns the pods: its verdict on what `deploy` has written into the Deployment is waited for, and never fought.

k8s/components/rollouts: the Rollout takes its template from the Deployment, which it scales down to no pods of its own.
"""

import time

from scripts.environments.objects import Objects
from scripts.environments.refusals import Failed
from scripts.ledger.kustomization import NAME
from scripts.ledger.rendering import Manifest
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

KIND = ("argoproj.io/v1alpha1", "Rollout", NAME)
PATIENCE_SECONDS = 3000  # a workflow's job ends after an hour
LOOK_SECONDS = 2


def wait(objects: Objects, deployment: Manifest) -> None:
    """Returns once the Rollout serves that generation of the Deployment. Raises Failed if Argo Rollouts has taken it back."""
    said, deadline = "", time.monotonic() + PATIENCE_SECONDS
    while progress := verdict(objects.find(*KIND), deployment):
        if progress != said:
            console.say(f"  rollout    Argo Rollouts: {progress}")
        said = progress
        if time.monotonic() > deadline:
            problem = f"Argo Rollouts has come to no end in {PATIENCE_SECONDS // 60} minutes ({said})"
            raise YourTurn(problem, f"kubectl argo rollouts get rollout {NAME}; the same command again waits on")
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
