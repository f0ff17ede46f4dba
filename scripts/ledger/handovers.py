"""Components whose controller owns the pods: what does not go together with them, before any cluster is asked."""

from typing import Any

from scripts.ledger.kustomization import NAME
from scripts.workspace import settings
from scripts.workspace.errors import YourTurn

Manifest = dict[str, Any]
COMPONENTS = {"Rollout": "rollouts", "Canary": "flagger"}  # by the kind that each brings
KEY = "app.kubernetes.io/name"  # by which pods are found where Flagger has no copy of them


def refuse_canary(manifests: list[Manifest], environment: str) -> None:
    """Raises YourTurn where pyproject.toml sets a canary as well."""
    found = [COMPONENTS[manifest["kind"]] for manifest in manifests if manifest["kind"] in COMPONENTS]
    if found and settings.read().canary(environment):
        problem = f"the canary of {environment} is set in pyproject.toml and by the component {found[0]}"
        raise YourTurn(problem, "take one of them out, and commit")


def check(manifests: list[Manifest], folder: str) -> None:
    """Raises YourTurn where two controllers would own the pods, or something would not find those of Flagger's copy, which answer."""
    kinds = {manifest["kind"] for manifest in manifests}
    if kinds >= COMPONENTS.keys():
        problem = f"{folder} has the components {' and '.join(COMPONENTS.values())}, and each would own the pods"
        raise YourTurn(problem, "take one of them out, and commit")
    for manifest in manifests if "Canary" in kinds else []:
        found = manifest.get("spec", {}).get("podSelector") or manifest.get("spec", {}).get("selector") or {}
        if manifest["kind"] != "Deployment" and found.get("matchLabels", found).get(KEY) == NAME:
            problem = (
                f"{folder}: {manifest['kind']}/{manifest['metadata']['name']} does not find the pods of Flagger's copy"
            )
            raise YourTurn(problem, "list the component flagger after the others in `components`, and commit")
