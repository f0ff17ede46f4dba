"""The Job of a training: k8s/training/job.yaml, with what belongs to this one; and why it is stuck, or has failed."""

import json
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
INDEX = "batch.kubernetes.io/job-completion-index"  # a label and an annotation of its pods
PORT = 2222  # of each worker, TensorFlow's usual one


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
    if provision.workers > 1:
        job["spec"] |= {"completions": provision.workers, "parallelism": provision.workers}
        pod["spec"]["subdomain"] = name
        pod["spec"]["containers"][0]["env"] = [*container.get("env", []), *_addresses(name, provision.workers)]
    if provision.gpus:
        tolerated = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        pod["spec"].setdefault("tolerations", []).append(tolerated)
    return job


def _addresses(name: str, workers: int) -> list[Object]:
    """The variables by which TensorFlow knows the workers, and which one it is: each pod is called by its number, at the Service `name`."""
    hosts = [f"{name}-{index}.{name}:{PORT}" for index in range(workers)]
    config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": "INDEX"}}
    field = {"fieldPath": f"metadata.annotations['{INDEX}']"}
    return [
        {"name": "WORKER", "valueFrom": {"fieldRef": field}},
        {"name": "TF_CONFIG", "value": json.dumps(config).replace('"INDEX"', "$(WORKER)")},
    ]


def workers(job: Object) -> int:
    return job["spec"].get("completions", 1)


def service(job: Object) -> Object:
    """The headless Service by which the pods of `job` find each other; it goes with the Job."""
    name = job["metadata"]["name"]
    uid = job["metadata"].get("uid")  # none where the Job is printed
    owner = {"apiVersion": API, "kind": "Job", "name": name, "uid": uid}
    ports = [{"name": "tensorflow", "port": PORT}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name} | ({"ownerReferences": [owner]} if uid else {}),
        "spec": spec | {"selector": {"batch.kubernetes.io/job-name": name}},
    }


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
                raise self._failed(f"{_title(pod)}: {reason}")

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
        and "deletionTimestamp" not in pod["metadata"]  # or it was ended with the others
    ]
    failed = [(end, pod) for end, pod in ends if end["exitCode"]]
    if not failed:
        return "", False
    end, pod = max(failed, key=lambda one: one[0]["finishedAt"] or "")
    name = _title(pod)
    if end["reason"] == "OOMKilled":
        limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        return f"{name} was killed for want of memory; it had {limit}", True
    words = (end.get("message") or f"exit code {end['exitCode']}").rpartition("error: ")[2].strip()
    return f"{name}: {words}", False


def _title(pod: Object) -> str:
    """Its name, and which of several workers it is."""
    name = pod["metadata"]["name"]
    return f"worker {index(pod)} ({name})" if pod["spec"].get("subdomain") else name


def index(pod: Object) -> int:
    return int(pod["metadata"]["labels"][INDEX])


def _statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses", [])


def message(pod: Object) -> str:
    """What its container wrote as its result; empty where it has not."""
    ends = [status["state"].get("terminated", {}) for status in _statuses(pod)]
    return next((end.get("message", "").strip() for end in ends if end.get("exitCode") == 0), "")
