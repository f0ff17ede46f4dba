"""Why a rollout is stuck, in words, as soon as that is certain; and whether the release is to blame."""

import re
import time
from typing import Any

from scripts.environments.api import Api
from scripts.environments.refusals import WEBHOOKS, ClusterRefusal, Failed
from scripts.workspace.errors import YourTurn

Object = dict[str, Any]
UNSCHEDULABLE_SECONDS = 10  # after the last pod that leaves: an autoscaler may report that it adds a node
QUOTA_SECONDS = 20  # others may leave it
AWAY_SECONDS = 90  # of a webhook: a controller asks it again after 10, 20, 40 and 80 s
MARGIN_SECONDS = 10  # beyond a grace period, for the kubelet to say that a pod is gone
NODE_SECONDS = 40  # for a cluster to notice that a node is away
PULL_SECONDS = 15  # a registry that stumbled is asked again after 10; one that has no such image says so at once
NEVER = ("not found", "manifest unknown", "unauthorized", "denied", "forbidden", "no such host", "invalid reference")
AWAY = re.compile(r"failed calling (webhook|validating|admission)|context deadline exceeded|timed out|try again")
TAINT = "untolerated taint"  # newer schedulers do not name the taint
THREADS = (
    "the kubelet's podPidsLimit is below 256 for each model, which TensorFlow Serving starts to load it, and 512 more"
)
MENDS = {
    "exceeded quota": "ask for less in {} and commit, or an administrator for more",
    "image cannot be pulled": "see that the image is where its nodes look, and that they may read it (docs/rollback.md)",
}
BROKEN = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


class Reasons:
    """Why one Deployment is stuck, from what its rollout watches. Remembers when it first saw a problem that may still pass."""

    KIND = "Deployment"

    def __init__(self, api: Api, namespace: str, name: str):
        self.api, self.namespace, self.name = api, namespace, name
        self._seen: dict[tuple[str, str], float] = {}
        self._pods: list[Object] = []

    def check(self, deployment: Object, replica_sets: list[Object], pods: list[Object]) -> None:
        """Raises Failed if the rollout cannot succeed, YourTurn if the release is not to blame for that; returns while it still can."""
        new, self._pods = current(deployment, replica_sets), pods
        if not new:
            return
        failure = condition(new, "ReplicaFailure", "True")
        if failure:
            self._refused(new, failure["message"])
        mine = [pod for pod in pods if owner(pod) == new["metadata"]["uid"]]
        for pod in mine:
            if reason := self.of_pod(pod):
                raise self._failed(f"{pod['metadata']['name']}: {reason}")
        stuck = condition(deployment, "Progressing", "False")
        if stuck and stuck["reason"] == "ProgressDeadlineExceeded":
            waiting = [pod for pod in mine if not condition(pod, "Ready", "True")]
            seconds = deployment["spec"]["progressDeadlineSeconds"]
            raise self._failed(f"no progress for {seconds} s: {self._last_words(waiting)}")

    def _refused(self, new: Object, message: str) -> None:
        """Raises unless the pods may be admitted yet. A quota counts those that are leaving until they are gone."""
        problem = f"no pod can be made: {_of_pod(message)}"
        if AWAY.search(message):
            if self._lasts(new, "away", AWAY_SECONDS):
                raise YourTurn(f"{self.KIND}/{self.name}: {problem}", WEBHOOKS)
        elif "exceeded quota" not in message or (not self._leaving() and self._lasts(new, "quota", QUOTA_SECONDS)):
            raise self._failed(problem)

    def _leaving(self) -> bool:
        """Whether pods of the Deployment are about to make room: one on a node that is away stays beyond its grace period."""
        ending = [pod for pod in self._pods if "deletionTimestamp" in pod["metadata"]]
        overdue = [self._lasts(pod, "leaving", _grace(pod) + MARGIN_SECONDS) for pod in ending]  # every clock starts
        return not all(overdue)

    def _failed(self, reason: str) -> YourTurn:
        place = self.api.environment
        mend = next(
            (mend for words, mend in MENDS.items() if words in reason), "mend that in the release or in {}, commit"
        )
        remedy = f"{mend.format(f'k8s/overlays/{place}')}, then ./pipeline deploy {place}"
        return Failed(f"{self.KIND}/{self.name}: {reason}", remedy)

    def of_pod(self, pod: Object) -> str | None:
        """Why the pod does not start, or will not stay; None while it still may."""
        if unscheduled := condition(pod, "PodScheduled", "False"):
            return self._unscheduled(pod, unscheduled.get("message", ""))
        quiet = condition(pod, "Ready", "False") and self._lasts(pod, "not ready", NODE_SECONDS)
        if quiet and (event := self._node_away(pod)):
            node = pod["spec"].get("nodeName", "")
            raise self._node(f"{pod['metadata']['name']} is on {node}, which is not ready: {event}", node)
        for status in pod.get("status", {}).get("containerStatuses", []):
            if reason := self._of_container(pod, status):
                return reason
        return None

    def _unscheduled(self, pod: Object, message: str) -> str | None:
        scaling = any(event["reason"] == "TriggeredScaleUp" for event in self._events(pod))
        if scaling or self._leaving() or not self._lasts(pod, "unschedulable", UNSCHEDULABLE_SECONDS):
            return None
        if TAINT in message and (away := self._nodes_away()):
            raise self._node(
                f"{pod['metadata']['name']} has no place while {', '.join(away)} is not ready: {message}", *away
            )
        return f"does not fit: {message}"

    def _node(self, problem: str, *nodes: str) -> YourTurn:
        """A defect of the nodes is not Failed: the release before would need the same nodes."""
        remedy = f"an administrator: kubectl describe node {' '.join(nodes)}, and mend that"
        return YourTurn(f"{self.KIND}/{self.name}: {problem}", remedy)

    def _nodes_away(self) -> list[str]:
        """Names of the nodes that are away, by the pods' own events: the deployer may not read nodes."""
        quiet = [pod for pod in self._pods if condition(pod, "Ready", "False") and self._node_away(pod)]
        return sorted({pod["spec"].get("nodeName", "a node") for pod in quiet})

    def _node_away(self, pod: Object) -> str | None:
        found = [event for event in self._events(pod) if event["reason"] == "NodeNotReady"]
        return " ".join(found[-1].get("message", "").split()) if found else None

    def _of_container(self, pod: Object, status: Object) -> str | None:
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
            words = self._log(pod)
            if "pthread_create" in words:
                return f"the server cannot start its threads: {THREADS}{words}"
            killed = "is killed for want of memory" if ended.get("reason") == "OOMKilled" else "crashes"
            return f"the server {killed} again and again (exit code {ended.get('exitCode')}){words}"
        return None

    def _failed_probe(self, pod: Object) -> str | None:
        """The message of the probe for which the kubelet has killed the container."""
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
        """The pod's events, oldest first; none where a role does not allow to read them."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        try:
            found = self.api.request("GET", path, fieldSelector=f"involvedObject.uid={pod['metadata']['uid']}")["items"]
        except ClusterRefusal:
            return []
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")

    def _log(self, pod: Object) -> str:
        """The last lines of the container's log before it ended."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/log"
        lines = self.api.text(path, previous="true", tailLines="3").strip()
        return f"; its last words: {' | '.join(lines.splitlines())}" if lines else ""

    def _lasts(self, item: Object, what: str, seconds: float) -> bool:
        first = self._seen.setdefault((item["metadata"]["uid"], what), time.monotonic())
        return time.monotonic() - first >= seconds


def current(deployment: Object, replica_sets: list[Object]) -> Object | None:
    """The ReplicaSet of the Deployment's present template."""
    revision = (deployment["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision")
    for replica_set in replica_sets:
        annotations = replica_set["metadata"].get("annotations") or {}
        if (
            owner(replica_set) == deployment["metadata"]["uid"]
            and annotations.get("deployment.kubernetes.io/revision") == revision
        ):
            return replica_set
    return None


def _grace(pod: Object) -> float:
    return pod["metadata"].get("deletionGracePeriodSeconds", 0)


def owner(item: Object) -> str | None:
    return next((owner["uid"] for owner in item["metadata"].get("ownerReferences", [])), None)


def condition(item: Object, kind: str, state: str) -> Object | None:
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == state), None)


def _of_pod(message: str) -> str:
    return " ".join(message.split()).partition(" is forbidden: ")[2] or message
