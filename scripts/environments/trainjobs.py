"""The same training for Kubeflow Trainer: a TrainJob, and the TrainingRuntime that it refers to, with all that the Job says."""

import io
from copy import deepcopy

from scripts.environments import jobs, queues
from scripts.environments.cluster import Cluster
from scripts.environments.reasons import Object
from scripts.environments.trainings import Training
from scripts.workspace.errors import YourTurn

API = "trainer.kubeflow.org/v1alpha1"
STEP = "trainer.kubeflow.org/trainjob-ancestor-step"  # the label by which the controller finds what trains
NODE = "node"  # its name for a worker, and for the container that trains


def printed(cluster: Cluster, modules: list[str], quick: bool, form: str) -> str:
    """The trainings as YAML, each as a `job` or a `trainjob`; their image is in the registry by then."""
    from ruamel.yaml import YAML

    found = []
    for training in (Training(cluster, module, quick) for module in modules):
        job = training.manifest()
        plain = [job, jobs.service(job)] if jobs.workers(job) > 1 else [job]
        for document in documents(job) if form == "trainjob" else plain:
            found.append(document | {"metadata": {"namespace": training.objects.namespace} | document["metadata"]})
    stream, writer = io.StringIO(), YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False
    writer.width = 1000  # a value a line
    writer.representer.ignore_aliases = lambda data: True
    writer.dump_all(found, stream)
    return stream.getvalue()


def documents(job: Object) -> list[Object]:
    """The runtime and the TrainJob of a rendered Job: what belongs to this training alone stands in the latter."""
    if jobs.workers(job) > 1:
        raise YourTurn(
            "a TrainJob is of one worker, which knows no others", "workers = 1, or ./pipeline train --on ENV"
        )
    name, labels = job["metadata"]["name"], job["metadata"]["labels"]
    spec = deepcopy(job["spec"])
    kept = spec.pop("ttlSecondsAfterFinished")  # of the whole, not of a part of it
    spec.pop("suspend", None)
    container = spec["template"]["spec"]["containers"][0]
    container["name"] = NODE
    trainer = {"numNodes": 1, "image": container.pop("image"), "args": container.pop("args")}
    trainer["resourcesPerNode"] = container.pop("resources")
    container["image"] = trainer["image"]  # which the schema of a pod wants
    worker = {"name": NODE, "template": {"metadata": {"labels": {STEP: "trainer"}}, "spec": spec}}
    template = {"spec": {"replicatedJobs": [worker], "ttlSecondsAfterFinished": kept}}
    reference = {"apiGroup": API.partition("/")[0], "kind": "TrainingRuntime", "name": name}
    return [
        _document(
            "TrainingRuntime",
            name,
            {jobs.MODEL: labels[jobs.MODEL]},
            {"mlPolicy": {"numNodes": 1}, "template": template},
        ),
        _document(
            "TrainJob", name, labels, {"runtimeRef": reference, "suspend": queues.QUEUE in labels, "trainer": trainer}
        ),
    ]


def _document(kind: str, name: str, labels: dict[str, str], spec: Object) -> Object:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}
