"""Where Flagger owns the pods: it serves from a copy of the Deployment, into which it writes a new template once it has tried it out.

k8s/components/flagger: `deploy` writes into the Deployment, whose pods, while there are any, answer behind the same Services.
"""

import json
from typing import Any

from scripts.environments.objects import Objects
from scripts.environments.refusals import Failed
from scripts.ledger.kustomization import NAME
from scripts.ledger.rendering import Manifest
from scripts.workspace.errors import YourTurn

KIND = ("flagger.app/v1beta1", "Canary", NAME)
COPY = f"{NAME}-primary"
LABEL = "pipeline/server"  # of the pods of both
SETTLED = ("Initialized", "Succeeded", "Failed")
TRIAL = ("Progressing", "Waiting", "WaitingPromotion")  # the copy is not written yet
TURNS = (
    3  # of Flagger's: the first may have begun before our template was there, the second sees it, the third is of it
)
WHY = "Halt "  # as its events begin that say what was wrong


class Verdict:
    """What Flagger makes of the Deployment's template, over several looks.

    It does not say of which template a failure is. One that comes while we look is of ours, and so is one that stays. A trial that is cut
    off ends well for the other template: Flagger has to take up ours once more, or it would do nothing when the other one comes again.
    """

    def __init__(self, objects: Objects):
        self.objects, self._began = objects, False
        self._turns: set[str] = set()
        self._cut_off: str | None = None  # the template whose trial ours has ended, as Flagger calls it; empty: none

    def __call__(self, deployment: Manifest) -> str:
        """How far it has come, in words; empty once the copy has it. Raises Failed if it was taken back."""
        canary, copy = self.objects.find(*KIND), self.objects.find("apps/v1", "Deployment", COPY)
        try:
            return self.read(canary, copy, deployment)
        except Failed as error:
            raise Failed(f"{error.problem}{self._why()}", error.remedy) from None

    def read(self, canary: Manifest | None, copy: Manifest | None, deployment: Manifest) -> str:
        if not canary:
            raise YourTurn(f"somebody has deleted Canary/{NAME}", "the same command again")
        status = canary.get("status", {})
        phase = status.get("phase", "")
        has_ours = bool(copy) and serves(copy, deployment)
        if self._cut_off is None:
            self._cut_off = status.get("lastAppliedSpec", "") if has_ours and phase in TRIAL else ""
        if phase in SETTLED and has_ours and status.get("lastAppliedSpec", "-") != self._cut_off:
            return ""
        if phase == "Failed":
            self._turns.add(status.get("lastTransitionTime", ""))  # of the last turn, while it stays
            if self._began or len(self._turns) > TURNS:
                raise Failed("Flagger has taken it back", f"kubectl describe canary {NAME}")
        self._began = self._began or phase != "Failed"
        if phase in SETTLED:
            return "it has not seen the new template yet"
        looks = f", {status['failedChecks']} bad looks" if status.get("failedChecks") else ""
        return f"{phase or 'it has not begun'}{looks}"

    def _why(self) -> str:
        """What Flagger's last look found, which only an event says."""
        about = f"involvedObject.kind=Canary,involvedObject.name={NAME},type=Warning"
        found = [e for e in self.objects.listed("v1", "Event", fieldSelector=about) if e["message"].startswith(WHY)]
        last = max(found, key=lambda event: event.get("lastTimestamp") or "", default=None)
        return f" ({last['message'].removeprefix(WHY)})" if last else ""


def owns(deployment: Manifest) -> bool:
    return LABEL in deployment["spec"]["template"]["metadata"].get("labels", {})


def serves(copy: Manifest, deployment: Manifest) -> bool:
    """Whether the copy has the Deployment's template."""
    return _comparable(copy) == _comparable(deployment)


def _comparable(deployment: Manifest) -> str:
    """The template without what Flagger changes in it: the names of its pods and of their configuration, and an annotation of its own."""
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    metadata: dict[str, Any] = template["metadata"]
    known = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != "flagger-id"}
    found = {"labels": metadata.get("labels"), "annotations": known, "spec": template["spec"]}
    return json.dumps(found, sort_keys=True).replace('-primary"', '"')


def without_analysis(manifest: Manifest) -> Manifest:
    """The Canary that takes over what is in the Deployment at once."""
    return manifest | {"spec": manifest["spec"] | {"skipAnalysis": True}}
