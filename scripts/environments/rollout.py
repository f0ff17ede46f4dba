"""Waits for a Deployment by watching it, and says in words why it will not become ready as soon as that is certain."""

import threading
import time
from typing import Any

from scripts.environments.api import Api, ClusterRefusal, Unreachable, explain
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

Object = dict[str, Any]
UNSCHEDULABLE_SECONDS = 10  # another pod may be about to leave; an autoscaler says within these that it makes room
QUOTA_SECONDS = 20  # pods of the deployment before may be on their way out, and count until they are gone
PULL_SECONDS = 15  # a registry that stumbled is asked again after 10; one that has no such image says so at once
NEVER = ("not found", "manifest unknown", "unauthorized", "denied", "forbidden", "no such host", "invalid reference")
BROKEN = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


class Rollout:
    """What the cluster says of one Deployment, kept up to date by a watch of each kind in a thread of its own."""

    def __init__(self, api: Api, namespace: str, name: str, selector: dict[str, str]):
        self.api, self.namespace, self.name = api, namespace, name
        self.objects: dict[str, dict[str, Object]] = {"deployments": {}, "replicasets": {}, "pods": {}}
        self._changed, self._done, self._seen = threading.Event(), threading.Event(), {}
        self._error: YourTurn | None = None
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        apps, core = (f"{group}/namespaces/{namespace}" for group in ("/apis/apps/v1", "/api/v1"))
        self._sources = {
            "deployments": (f"{apps}/deployments", {"fieldSelector": f"metadata.name={name}"}),
            "replicasets": (f"{apps}/replicasets", {"labelSelector": labels}),
            "pods": (f"{core}/pods", {"labelSelector": labels}),
        }

    def wait(self, generation: int) -> None:
        """Returns once every replica is of `generation` and available. Raises YourTurn as soon as it is known that none will be."""
        for kind in self._sources:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()
        try:
            self._wait(generation)
        finally:
            self._done.set()

    def _wait(self, generation: int) -> None:
        said = ""
        while True:
            self._changed.wait(1)  # some reasons are only certain after a while
            self._changed.clear()
            if self._error:
                raise self._error
            deployment = self.objects["deployments"].get(self.name)
            if not deployment or deployment.get("status", {}).get("observedGeneration", 0) < generation:
                continue
            if is_complete(deployment):
                return
            if reason := self._reason(deployment):
                raise YourTurn(f"Deployment/{self.name}: {reason}", "mend it, commit, and deploy again")
            if (progress := _progress(deployment)) != said:
                said = progress
                console.say(f"  rollout    {said}")

    def _follow(self, kind: str) -> None:
        while not self._done.is_set():
            try:
                self._list_and_watch(kind)
            except Unreachable:
                pass  # the list that follows waits for the API server
            except (ClusterRefusal, YourTurn) as error:
                if (
                    not isinstance(error, ClusterRefusal) or error.status != 410
                ):  # 410: that version is too old to watch from
                    self._error = (
                        error
                        if isinstance(error, YourTurn)
                        else explain(error, f"watching {kind}", self.api.environment)
                    )
                    self._changed.set()
                    return

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

    def _reason(self, deployment: Object) -> str | None:
        """Why it cannot get on; None while it still may."""
        new = current(deployment, list(self.objects["replicasets"].values()))
        if not new:
            return None
        failure = _condition(new, "ReplicaFailure", "True")
        if failure and ("exceeded quota" not in failure["message"] or self._lasts(new, "quota", QUOTA_SECONDS)):
            return f"no pod can be made: {_of_pod(failure['message'])}"
        pods = [p for p in self.objects["pods"].values() if _owner(p) == new["metadata"]["uid"]]
        for pod in pods:
            if reason := self._reason_of_pod(pod):
                return f"{pod['metadata']['name']}: {reason}"
        stuck = _condition(deployment, "Progressing", "False")
        if stuck and stuck["reason"] == "ProgressDeadlineExceeded":
            waiting = [p for p in pods if not _condition(p, "Ready", "True")]
            return f"no progress for {deployment['spec']['progressDeadlineSeconds']} s: {self._last_words(waiting)}"
        return None

    def _reason_of_pod(self, pod: Object) -> str | None:
        if unscheduled := _condition(pod, "PodScheduled", "False"):
            reason = f"does not fit: {unscheduled.get('message', '')}"
            scaling = any(event["reason"] == "TriggeredScaleUp" for event in self._events(pod))
            return reason if self._lasts(pod, "unschedulable", UNSCHEDULABLE_SECONDS) and not scaling else None
        for status in pod.get("status", {}).get("containerStatuses", []):
            if reason := self._reason_of_container(pod, status):
                return reason
        return None

    def _reason_of_container(self, pod: Object, status: Object) -> str | None:
        waiting = status["state"].get("waiting", {})
        why, message = waiting.get("reason", ""), " ".join(waiting.get("message", "").split())
        if why in BROKEN:
            return f"{why}: {message}"
        if why in ("ErrImagePull", "ImagePullBackOff"):
            final = any(word in message for word in NEVER) or self._lasts(pod, "pull", PULL_SECONDS)
            return f"the image cannot be pulled: {message}" if final else None
        if not status["ready"] and (probe := self._failed_probe(pod)):
            return f"{probe}{self._log(pod)}"
        if why == "CrashLoopBackOff":
            ended = status.get("lastState", {}).get("terminated", {})
            killed = "is killed for want of memory" if ended.get("reason") == "OOMKilled" else "crashes"
            return f"the server {killed} again and again (exit code {ended.get('exitCode')}){self._log(pod)}"
        return None

    def _failed_probe(self, pod: Object) -> str | None:
        """The words of the probe for which the kubelet has killed the container."""
        events = self._events(pod)
        if not any(event["reason"] == "Killing" and "probe" in event.get("message", "") for event in events):
            return None
        return next(
            (" ".join(e["message"].split()) for e in reversed(events) if e["reason"] == "Unhealthy"), "a probe failed"
        )

    def _last_words(self, pods: list[Object]) -> str:
        events = [e for pod in pods for e in self._events(pod) if e.get("type") == "Warning"]
        return (
            f"{pods[0]['metadata']['name']}: {' '.join(events[-1]['message'].split())}"
            if events
            else "and no event says why"
        )

    def _events(self, pod: Object) -> list[Object]:
        """Oldest first."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = self.api.request("GET", path, fieldSelector=f"involvedObject.uid={pod['metadata']['uid']}")["items"]
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")

    def _log(self, pod: Object) -> str:
        """The last lines before it ended."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/log"
        lines = self.api.text(path, previous="true", tailLines="3").strip()
        return f"; its last words: {' | '.join(lines.splitlines())}" if lines and '"kind":"Status"' not in lines else ""

    def _lasts(self, item: Object, what: str, seconds: float) -> bool:
        first = self._seen.setdefault((item["metadata"]["uid"], what), time.monotonic())
        return time.monotonic() - first >= seconds


def is_complete(deployment: Object) -> bool:
    """As `kubectl rollout status` sees it: every replica is of this revision and available, and none of another is left."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    counts = [status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and counts == [wanted, wanted, wanted]


def current(deployment: Object, replica_sets: list[Object]) -> Object | None:
    """The ReplicaSet of the Deployment's present template."""
    revision = (deployment["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision")
    for replica_set in replica_sets:
        annotations = replica_set["metadata"].get("annotations") or {}
        if (
            _owner(replica_set) == deployment["metadata"]["uid"]
            and annotations.get("deployment.kubernetes.io/revision") == revision
        ):
            return replica_set
    return None


def _owner(item: Object) -> str | None:
    return next((owner["uid"] for owner in item["metadata"].get("ownerReferences", [])), None)


def _condition(item: Object, kind: str, state: str) -> Object | None:
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == state), None)


def _of_pod(message: str) -> str:
    return " ".join(message.split()).partition(" is forbidden: ")[2] or message


def _progress(deployment: Object) -> str:
    status = deployment.get("status", {})
    new, wanted = status.get("updatedReplicas", 0), deployment["spec"].get("replicas", 1)
    old = status.get("replicas", 0) - new
    return f"{new} of {wanted} pods are new, {status.get('availableReplicas', 0)} answer" + (
        f", {old} old to go" if old > 0 else ""
    )
