"""A training as a Job in the cluster of an environment: started or found again, followed by its log, brought back when it has ended.

The Job is the only memory: it is called by the training's identity, and is removed once its result is here. Whoever asks again, from any
computer, finds it and goes on.
"""

import math
import re
import time

from scripts.environments import jobs, queues
from scripts.environments.cluster import Cluster
from scripts.environments.objects import Objects
from scripts.environments.reasons import Object, condition, owner
from scripts.release import platforms, sources, trainer
from scripts.release.registry import Repository
from scripts.sources import fetching, pointers
from scripts.training import shipping
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn
from scripts.workspace.provisions import ARCHITECTURE

LOOK_SECONDS = 2
NAMESPACE = "-training"  # behind the environment's own


def run(cluster: Cluster, modules: list[str], quick: bool, cancel: bool) -> None:
    """Trains the models at once, or ends their trainings."""
    pointers.resolve(modules)
    if sampled := fetching.of_models(modules).keys() & set(sources.sampled()):
        problem = (
            f"a sample stands here in the place of {', '.join(sorted(sampled))}, and a pod would train on all of it"
        )
        raise YourTurn(problem, "./pipeline fetch")
    found = [Training(cluster, module, quick) for module in modules]
    if cancel:
        for training in found:
            said = "cancelled" if training.cancel() else "there is no training of this code"
            console.say(f"  train      {training.module}: {said} on {cluster.name}")
        return
    for training in found:
        training.start()
    for training in found:
        with console.stage("train") as stage:
            reference = training.follow()
            training.bring(reference)
            stage.result = f"{training.module}: trained on {cluster.name}, brought as {reference}"


def place(cluster: Cluster) -> Objects:
    """The objects of its trainings: they have a namespace of their own."""
    return Objects(cluster.api, f"{cluster.namespace}{NAMESPACE}")


class Training:
    """The training of model/MODULE.py, as it stands here, in the cluster of an environment."""

    def __init__(self, cluster: Cluster, module: str, quick: bool = False):
        self.cluster, self.module, self.tag = cluster, module, shipping.tag(module, quick)
        self.arguments = ["train", "--model", module, *(["--quick"] * quick)]
        self.name = re.sub(r"[^a-z0-9]+", "-", f"train-{self.tag}".lower()).strip("-")[-52:].lstrip("-0123456789")
        self.objects = place(cluster)
        self.provision, self._log = settings.read().provision(module), Log(self.objects)
        remedy = f"mend that, then ./pipeline train --on {cluster.name} again; --cancel ends it"
        self.reasons = jobs.JobReasons(cluster.api, self.objects.namespace, self.name, remedy)

    def start(self) -> None:
        """Finds the Job, or makes it."""
        words = "is under way" if self._job() else "begins"
        if words == "begins":
            queues.refuse_absent(self.objects, self.provision.queue)
            self.objects.put(self.manifest())
        if (job := self._job()) and (workers := jobs.workers(job)) > 1:
            self.objects.put(jobs.service(job))
            words += f" with {workers} workers"
        console.say(
            f"  train      {self.module}: {words} on {self.cluster.name}, as Job {self.objects.namespace}/{self.name}"
        )

    def manifest(self) -> Object:
        """The Job, of an image that is pushed."""
        architecture = self.provision.nodes.get(ARCHITECTURE) or platforms.here()
        with console.stage("image") as stage:
            stage.result = image = trainer.push(architecture)
        place = trainer.repository()
        if self.provision.registry:
            place = f"{self.provision.registry}/{place.partition('/')[2]}"
        nodes = {ARCHITECTURE: architecture} | self.provision.nodes
        return jobs.manifest(self.name, self.module, image, [*self.arguments, "--to", place], nodes, self.provision)

    def follow(self, until: float = math.inf) -> str:
        """Shows the log until the Job has ended well, or to that second of time.monotonic().

        Returns the digest of what it has pushed, nothing while it goes on. Raises YourTurn if it cannot end well.
        """
        said = ""
        while True:
            if not (job := self._job()):
                problem = f"Job/{self.name} is gone: somebody has cancelled it"
                raise YourTurn(problem, f"./pipeline train --on {self.cluster.name} begins anew")
            pods = self._pods(job)
            self._log.show(pods)
            if condition(job, "Complete", "True"):
                return self._result(pods)
            try:
                self.reasons.see(job, pods)
            except jobs.Ended:
                self.cancel()  # it is told, and the next one begins anew, from the last backup
                raise
            now = queues.reason(self.objects, job) if job["spec"].get("suspend") else _progress(job, pods)
            if now != said:
                console.say(f"  train      {self.module}: {now}")
                said = now
            if time.monotonic() >= until:
                return ""
            time.sleep(LOOK_SECONDS)

    def bring(self, reference: str) -> None:
        """Brings the result, by its digest, and removes the Job."""
        shipping.bring(self.module, Repository(trainer.repository()), reference)
        self.cancel()

    def cancel(self) -> bool:
        """Removes the Job and its pods. Returns whether there was one."""
        if job := self._job():
            self.objects.remove(job)
        return bool(job)

    def _result(self, pods: list[Object]) -> str:
        """The digest, as the pod has told it; the tag, where the pod went with its node."""
        told = next(filter(None, map(jobs.message, pods)), "")
        return told.rpartition("@")[2] if "@" in told else self.tag

    def _job(self) -> Object | None:
        return self.objects.find(jobs.API, "Job", self.name)

    def _pods(self, job: Object) -> list[Object]:
        """Oldest first, without those that another Job of that name has left."""
        found = self.objects.listed("v1", "Pod", labelSelector=f"batch.kubernetes.io/job-name={self.name}")
        mine = [pod for pod in found if owner(pod) == job["metadata"]["uid"]]
        return sorted(mine, key=lambda pod: pod["metadata"]["creationTimestamp"])


class Log:
    """The logs of the first worker's pods, shown as they grow."""

    def __init__(self, objects: Objects):
        self._objects = objects
        self._last: dict[str, str] = {}  # of each pod, the time of the last line
        self._read: set[str] = set()  # to the end

    def show(self, pods: list[Object]) -> None:
        for pod in pods:
            name = pod["metadata"]["name"]
            if not jobs.index(pod) and name not in self._read:
                self._show(name)
            if pod["status"].get("phase") in ("Succeeded", "Failed"):
                self._read.add(name)

    def _show(self, name: str) -> None:
        last = self._last.get(name, "")
        since = {"sinceTime": f"{last[:19]}Z"} if last else {}  # it counts in whole seconds
        path = self._objects.api.path("v1", "Pod", self._objects.namespace, name)
        for line in self._objects.api.text(f"{path}/log", timestamps="true", **since).splitlines():
            stamp, _, words = line.partition(" ")
            if (stamp := stamp.rstrip("Z").ljust(29, "0")) > last:  # the zeros at its end are left out
                console.say(words)
                self._last[name] = stamp


def _progress(job: Object, pods: list[Object]) -> str:
    running = sum(pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods)
    workers = jobs.workers(job)
    ended, missing = job.get("status", {}).get("failed", 0), f", with {running} of {workers} workers"
    words = "trains" if running else "waits for a node and its image"
    return words + missing * (0 < running < workers) + f"; {ended} pods have failed" * bool(ended)
