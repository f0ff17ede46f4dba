"""What a training is in the cluster: the Job by the settings, and the same for Kubeflow Trainer and Kueue, by their own definitions."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from scripts.environments import jobs, trainjobs
from scripts.environments.queues import QUEUE
from scripts.workspace.provisions import Provision
from tests.support import crds
from tests.support.fork import ROOT

TRAINER, KUEUE = "github.com/kubeflow/trainer/v2@v2.2.0", "sigs.k8s.io/kueue@v0.17.0"
TRAINERS = [f"manifests/base/crds/trainer.kubeflow.org_{kinds}.yaml" for kinds in ("trainingruntimes", "trainjobs")]
KUEUES = [
    f"config/components/crd/bases/kueue.x-k8s.io_{kinds}.yaml"
    for kinds in ("resourceflavors", "clusterqueues", "localqueues")
]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    provision = Provision(cpu="3", gpus=1, queue="training")
    return jobs.manifest("train-x", "x", "r/n@sha256:0", ["train", "--model", "x"], {"zone": "a"}, provision)


def test_a_job_in_a_queue_begins_only_when_kueue_says_so(job: dict[str, Any]) -> None:
    assert (job["metadata"]["labels"][QUEUE], job["spec"]["suspend"]) == ("training", True)


def test_kubeflow_trainer_takes_the_same_training(job: dict[str, Any]) -> None:
    valid = crds.validators(TRAINER, *TRAINERS)
    runtime, train_job = trainjobs.documents(job)
    for document in (runtime, train_job):
        valid[document["kind"]](document)
    (part,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod, trainer = part["template"]["spec"]["template"]["spec"], train_job["spec"]["trainer"]
    whole = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"zone": "a"} and pod["tolerations"] == whole["tolerations"]
    names = {
        "name": "training",
        "image": trainer["image"],
        "args": trainer["args"],
        "resources": trainer["resourcesPerNode"],
    }
    assert pod["containers"][0] | names == whole["containers"][0]
    assert train_job["spec"]["suspend"] and train_job["metadata"]["labels"][QUEUE] == "training"


def test_kueue_takes_the_queue(job: dict[str, Any]) -> None:
    valid = crds.validators(KUEUE, *KUEUES)
    documents = list(YAML(typ="safe").load_all((ROOT / "k8s/training/queue/queue.yaml").read_text()))
    for document in documents:
        valid[document["kind"]](document)
    _, quota, queue = documents
    (group,) = quota["spec"]["resourceGroups"]
    asked = job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert set(group["coveredResources"]) == asked.keys(), "what has no quota is never let in"
    selector = {"kubernetes.io/metadata.name": queue["metadata"]["namespace"]}
    assert quota["spec"]["namespaceSelector"]["matchLabels"] == selector
    assert queue["metadata"]["name"] == job["metadata"]["labels"][QUEUE]
