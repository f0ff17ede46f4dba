"""Refusals of an API server in words, with a remedy; and whether the manifests are to blame."""

import re
from typing import Any

from scripts.workspace.errors import YourTurn

WEBHOOKS = (
    "an administrator: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations, and mend what stands "
    "behind them; then the same command again"
)
JUDGED = (400, 403, 413, 422)  # how manifests are refused; anything else (408, 409 …) is about the way or the moment
TRAINING = '-training"'  # the end of the name of a namespace for trainings


class Failed(YourTurn):
    """The release, or the manifests around it, is to blame: what served before is put back.

    Every other YourTurn of a deployment (an outage of the cluster, expired credentials, another deployer) says nothing of the release:
    everything applied so far stays, and the same command again goes on.
    """


class ClusterRefusal(Exception):
    """The API server said no: `status` is HTTP's, `document` its Status."""

    def __init__(self, status: int, document: dict[str, Any]):
        super().__init__(document.get("message") or f"HTTP {status}")
        self.status, self.document = status, document

    @property
    def causes(self) -> list[dict[str, str]]:
        return (self.document.get("details") or {}).get("causes") or []


def explain(error: ClusterRefusal, what: str, environment: str) -> YourTurn:
    """A refusal of `what` (an object, or an errand) in words, with what to do."""
    text = str(error)
    if error.status == 409 and error.causes:
        owners = [f"{_owner(c['message'])} owns {c['field']}" for c in error.causes]
        remedy = f"take the field out of {environment}'s overlay, or stop the other from setting it"
        return YourTurn(f"{what}: {'; '.join(owners)}", remedy)
    if error.status == 404 and (found := re.search(r'namespaces "(.+?)" not found', text)):
        problem = f"the cluster of {environment} has no namespace {found[1]}"
        return YourTurn(problem, f"an administrator: kubectl apply -k {_folder(text)}")
    if "because it is being terminated" in text:
        remedy = "wait until it is gone; an administrator: kubectl apply -k k8s/admission; then the same command again"
        return YourTurn(f"{what}: {_tidy(text)}", remedy)
    if error.status == 403 and (found := re.search(r'cannot (\w+) resource "(.+?)" in API group "(.*?)"', text)):
        rule = f"{{apiGroups: [{found[3] or chr(34) * 2}], resources: [{found[2]}], verbs: [{found[1]}]}}"
        file = f"{_folder(text)}/{'trainer' if TRAINING in text else 'deployer'}.yaml"
        remedy = f"the missing rule is {rule}: {file}, applied by an administrator"
        return YourTurn(f"{what}: {text}", remedy)
    if error.status not in JUDGED and "denied the request" not in text:  # a webhook chooses its status
        return YourTurn(f"{what}: {_tidy(text)}", "the same command again; kubectl get --raw /readyz says how it is")
    if what.startswith("Job/"):
        remedy = "mend that in k8s/training/job.yaml or [tool.pipeline.training], then the same command again"
        return YourTurn(f"{what} is refused: {_tidy(text)}", remedy)
    remedy = f"mend that in k8s/overlays/{environment} or k8s/base, commit, then ./pipeline deploy {environment}"
    return Failed(f"{what} is refused: {_tidy(text)}", remedy)


def _folder(text: str) -> str:
    """What an administrator applies for the namespace that a refusal names."""
    return "k8s/training" if TRAINING in text else "k8s/admission"


def _tidy(text: str) -> str:
    return re.sub(r"^\S+ \"\S+\" is (forbidden|invalid): ", "", " ".join(text.split()))


def _owner(message: str) -> str:
    found = re.search(r'conflict with "(.+?)"', message)
    return found[1] if found else message
