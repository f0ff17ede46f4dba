"""Waits for a Deployment by watching it, and says in words why it will not become ready as soon as that is certain."""

import threading
import time
from typing import Any

from scripts.environments.api import Api, Unreachable
from scripts.environments.reasons import Reasons
from scripts.environments.refusals import ClusterRefusal, explain
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

Object = dict[str, Any]
STILL_SECONDS = 60  # beyond the Deployment's own deadline: a silent cluster is not waited for any longer


class Rollout:
    """The state of one Deployment, kept up to date by one watch for each kind, each in a thread of its own."""

    def __init__(self, api: Api, namespace: str, name: str, selector: dict[str, str]):
        self.api, self.namespace, self.name = api, namespace, name
        self.objects: dict[str, dict[str, Object]] = {"deployments": {}, "replicasets": {}, "pods": {}}
        self._changed, self._done = threading.Event(), threading.Event()
        self.reasons = Reasons(api, namespace, name)
        self._error: Exception | None = None
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        apps, core = (f"{group}/namespaces/{namespace}" for group in ("/apis/apps/v1", "/api/v1"))
        self._sources = {
            "deployments": (f"{apps}/deployments", {"fieldSelector": f"metadata.name={name}"}),
            "replicasets": (f"{apps}/replicasets", {"labelSelector": labels}),
            "pods": (f"{core}/pods", {"labelSelector": labels}),
        }

    def wait(self, generation: int) -> None:
        """Returns once every replica is of `generation` and available. Raises YourTurn as soon as it is certain that they will not be."""
        for kind in self._sources:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()
        try:
            self._wait(generation)
        finally:
            self._done.set()

    def _wait(self, generation: int) -> None:
        said, since = [""], time.monotonic()
        while True:
            self._changed.wait(1)  # some reasons are only certain after a while
            self._changed.clear()
            if self._error:
                raise self._error
            deployment = self.objects["deployments"].get(self.name)
            if deployment and deployment.get("status", {}).get("observedGeneration", 0) >= generation:
                if is_complete(deployment):
                    return
                self.reasons.check(deployment, *([*self.objects[kind].values()] for kind in ("replicasets", "pods")))
                if (progress := _progress(deployment)) != said[-1]:
                    since = since if progress in said else time.monotonic()  # a pod that comes and goes is no progress
                    said.append(progress)
                    console.say(f"  rollout    {progress}")
            deadline = STILL_SECONDS + (deployment or {"spec": {}})["spec"].get("progressDeadlineSeconds", 0)
            if time.monotonic() - since > deadline:
                raise self._still(deployment, said[-1], deadline)

    def _still(self, deployment: Object | None, said: str, seconds: int) -> YourTurn:
        """The error for controllers that are silent, or were paused."""
        paused = bool(deployment and deployment["spec"].get("paused"))
        why = "it is paused" if paused else f"the cluster's controllers have done nothing for {seconds} s"
        check = (
            f"kubectl --namespace {self.namespace} {'rollout resume' if paused else 'describe'} deployment/{self.name}"
        )
        return YourTurn(f"Deployment/{self.name}: {why} ({said or 'nothing was begun'})", check)

    def _follow(self, kind: str) -> None:
        while not self._done.is_set():
            try:
                self._list_and_watch(kind)
            except Unreachable:
                self._done.wait(0.2)  # the list that follows waits for the API server
            except ClusterRefusal as error:
                if error.status != 410:  # that version is too old to watch from
                    return self._end(explain(error, f"watching {kind}", self.api.environment))
            except Exception as error:  # a thread that ended in silence would be waited for
                return self._end(error)
        return None

    def _end(self, error: Exception) -> None:
        self._error = error
        self._changed.set()

    def _list_and_watch(self, kind: str) -> None:
        path, query = self._sources[kind]
        listed = self.api.request("GET", path, **query)
        self.objects[kind] = {item["metadata"]["name"]: item for item in listed["items"]}
        if kind == "deployments" and not listed["items"]:
            raise YourTurn(f"somebody has deleted Deployment/{self.name}", f"./pipeline deploy {self.api.environment}")
        self._changed.set()
        for event in self.api.watch(path, listed["metadata"]["resourceVersion"], **query):
            if event["type"] == "ERROR" or self._done.is_set():
                return
            self._note(kind, event)

    def _note(self, kind: str, event: Object) -> None:
        item = event["object"]
        objects = dict(self.objects[kind])
        if event["type"] == "DELETED":
            objects.pop(item["metadata"]["name"], None)
        else:
            objects[item["metadata"]["name"]] = item
        self.objects[kind] = objects
        self._changed.set()


def is_complete(deployment: Object) -> bool:
    """Whether the rollout is complete, as `kubectl rollout status` defines it: all replicas are of this revision and available, and none
    of another is left."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    counts = [status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and counts == [wanted, wanted, wanted]


def _progress(deployment: Object) -> str:
    status = deployment.get("status", {})
    new, wanted = status.get("updatedReplicas", 0), deployment["spec"].get("replicas", 1)
    old = status.get("replicas", 0) - new
    return f"{new} of {wanted} pods are new, {status.get('availableReplicas', 0)} answer" + (
        f", {old} old to go" if old > 0 else ""
    )
