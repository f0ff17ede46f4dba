"""The trainings that `release` has made in a cluster: waited for as long as a job may, left to go on, and found again when they have ended.

Each Job says for which commit a release is waiting. Whoever goes on with that release takes the note away, so that one is started once.
"""

import time
from collections.abc import Mapping

from scripts.environments import jobs
from scripts.environments.cluster import Cluster
from scripts.environments.objects import Objects
from scripts.environments.reasons import Object, condition
from scripts.environments.trainings import Training
from scripts.release import trainer
from scripts.release.registry import Repository
from scripts.sources import pointers
from scripts.workspace import console

COMMIT = "pipeline/commit"  # an annotation: of which a release waits for this training


def trained(cluster: Cluster, modules: list[str], commit: str) -> tuple[dict[str, str], list[str]]:
    """Has the models trained, unless the registry has the training of this very code.

    Returns the digest of each that is trained, and the Jobs, as NAMESPACE/NAME, that go on after the minutes of their setting `wait`.
    """
    pointers.resolve(modules)
    begin, place = time.monotonic(), Repository(trainer.repository())
    found, left = {}, []
    trainings = [Training(cluster, module) for module in modules]
    for training in trainings:
        if digest := place.digest(training.tag):
            console.say(f"  train      {training.module}: was trained, and is in {place.name}:{training.tag}")
            found[training.module] = digest
            job = training.objects.find(jobs.API, "Job", training.name)
            if job and _is_over(job):
                training.cancel()
        else:
            training.start()
            note(training.objects, training.name, commit)
    for training in trainings:
        if training.module in found:
            continue
        if reference := training.follow(begin + 60 * training.provision.wait):
            found[training.module] = place.manifest(reference)[1]["digest"]
            training.cancel()
        else:
            left.append(f"{training.objects.namespace}/{training.name}")
    return found, left


def note(objects: Objects, name: str, commit: str | None) -> None:
    """Notes for which commit a release waits for the Job; without one, that none waits any more."""
    if job := objects.find(jobs.API, "Job", name):
        objects.note(job, {COMMIT: commit})


def ended(objects: Objects) -> Mapping[str, list[str]]:
    """The Jobs of each commit for which a release waits, where all of them have ended."""
    found: dict[str, list[Object]] = {}
    for job in objects.listed(jobs.API, "Job"):
        if commit := job["metadata"].get("annotations", {}).get(COMMIT):
            found.setdefault(commit, []).append(job)
    return {
        commit: [job["metadata"]["name"] for job in those]
        for commit, those in found.items()
        if all(map(_is_over, those))
    }


def _is_over(job: Object) -> bool:
    return any(condition(job, kind, "True") for kind in ("Complete", "Failed"))
