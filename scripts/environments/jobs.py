"""The Job of a training: k8s/training/job.yaml, with what belongs to this one; and why it is stuck, or has failed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.environments import queues
from scripts.environments.api import Api
from scripts.environments.reasons import Object, Reasons, condition
from scripts.workspace.errors import YourTurn
from scripts.workspace.provisions import Provision

TEMPLATE = Path("k8s/training/job.yaml")
API = "batch/v1"
MODEL = "pipeline.model"  # a label


def manifest(
    name: str, module: str, image: str, arguments: list[str], nodes: dict[str, str], provision: Provision
) -> Object:
    """The Job called `name`, which runs `./pipeline ARGUMENTS` in `image` on nodes with those labels."""
    from ruamel.yaml import YAML

    job = YAML(typ="safe", pure=True).load(TEMPLATE.read_text())
    labels = {MODEL: module} | ({queues.QUEUE: provision.queue} if provision.queue else {})
    job["metadata"] = _merged(job["metadata"], {"name": name, "labels": labels})
    if provision.queue:
        job["spec"]["suspend"] = True  # until Kueue lets it begin, also where its webhook is away
    pod = job["spec"]["template"] = _merged(job["spec"]["template"], {"metadata": {"labels": {MODEL: module}}})
    pod["spec"] = _merged(pod["spec"], {"nodeSelector": nodes})
    container = pod["spec"]["containers"][0]
    amounts = {"cpu": provision.cpu, "memory": provision.memory} | _gpus(provision)
    more = {"image": image, "args": arguments, "resources": {"requests": amounts, "limits": amounts}}
    pod["spec"]["containers"][0] = _merged(container, more)
    if provision.gpus:
        tolerated = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        pod["spec"].setdefault("tolerations", []).append(tolerated)
    return job


def _gpus(provision: Provision) -> dict[str, int]:
    return {"nvidia.com/gpu": provision.gpus} if provision.gpus else {}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`one` with what `other` says, in every depth of the mappings."""
    return {**one} | {
        key: _merged(one[key], value) if isinstance(value, Mapping) and isinstance(one.get(key), Mapping) else value
        for key, value in other.items()
    }


class Ended(YourTurn):
    """The Job has failed, or every further try would."""


class JobReasons(Reasons):
    """Why a Job is stuck, in the words that a deployment has."""

    KIND = "Job"

    def __init__(self, api: Api, namespace: str, name: str, remedy: str):
        super().__init__(api, namespace, name)
        self.remedy = remedy

    def see(self, job: Object, pods: list[Object]) -> None:
        """Raises Ended if the Job cannot end well, YourTurn if it does not get on; returns while it does."""
        self._pods = pods
        words, is_hopeless = _last_words(pods)
        if (failed := condition(job, "Failed", "True")) or is_hopeless:
            raise Ended(*self._failed(words or (failed or {}).get("message", "")).args)
        if not pods and (refusals := [event for event in self._events(job) if event["reason"] == "FailedCreate"]):
            self._refused(job, refusals[-1]["message"])
        for pod in pods:
            if pod["status"].get("phase") in ("Pending", "Running") and (reason := self.of_pod(pod)):
                raise self._failed(f"{pod['metadata']['name']}: {reason}")

    def _failed(self, reason: str) -> YourTurn:
        problem, _, remedy = reason.partition("\n  next: ")  # where the pod has said it
        return YourTurn(f"{self.KIND}/{self.name}: {problem}", remedy.strip() or self.remedy)


def _last_words(pods: list[Object]) -> tuple[str, bool]:
    """What the pod that failed last says of it; and whether another would fail, too: for want of memory."""
    ends = [
        (status["state"]["terminated"], pod)
        for pod in pods
        for status in _statuses(pod)
        if "terminated" in status["state"]
    ]
    failed = [(end, pod) for end, pod in ends if end["exitCode"]]
    if not failed:
        return "", False
    end, pod = max(failed, key=lambda one: one[0]["finishedAt"] or "")
    name = pod["metadata"]["name"]
    if end["reason"] == "OOMKilled":
        limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        return f"{name} was killed for want of memory; it had {limit}", True
    words = (end.get("message") or f"exit code {end['exitCode']}").rpartition("error: ")[2].strip()
    return f"{name}: {words}", False


def _statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses", [])


def message(pod: Object) -> str:
    """What its container wrote as its result; empty where it has not."""
    ends = [status["state"].get("terminated", {}) for status in _statuses(pod)]
    return next((end.get("message", "").strip() for end in ends if end.get("exitCode") == 0), "")
