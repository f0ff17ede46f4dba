"""Several workers of one training: how each pod knows which one it is. tests/cluster/test_training.py trains by two."""

import json

import numpy as np
import pytest

from scripts.environments import jobs
from scripts.training import workers
from scripts.workspace.errors import YourTurn
from scripts.workspace.provisions import Provision

BAD = {
    "no JSON": "worker 1",
    "a number beyond the workers": '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    "parameter servers": '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    "a list": "[]",
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses_a_variable_that_names_no_worker(monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    monkeypatch.setenv("TF_CONFIG", BAD[defect])
    with pytest.raises(YourTurn, match="TF_CONFIG names no worker of a training"):
        workers.here()


def test_each_pod_is_told_which_one_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kubelet does it: $(WORKER) is the number that the Job's controller has noted at the pod."""
    job = jobs.manifest("train-x", "x", "image@sha256:0", [], {}, Provision(workers=3))
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 3
    pod = job["spec"]["template"]["spec"]
    known = {one["name"]: one.get("value", "2") for one in pod["containers"][0]["env"]}
    monkeypatch.setenv("TF_CONFIG", known["TF_CONFIG"].replace("$(WORKER)", known["WORKER"]))
    assert workers.here() == (2, 3)
    job["metadata"]["uid"] = "1"
    service = jobs.service(job)
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["ports"][0]["port"] == 2222
    hosts = json.loads(known["TF_CONFIG"].replace("$(WORKER)", "0"))["cluster"]["worker"]
    assert hosts == [f"train-x-{index}.train-x:2222" for index in range(3)]


def test_one_worker_is_told_nothing() -> None:
    job = jobs.manifest("train-x", "x", "image@sha256:0", [], {}, Provision())
    assert "completions" not in job["spec"]
    assert "TF_CONFIG" not in [one["name"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]]


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9])
def test_the_parts_of_a_batch_are_the_batch(size: int, count: int) -> None:
    from scripts.training import together

    found = [[int(row) for row in together.part(np.int64(place), np.int64(size), count)] for place in range(count)]
    if size < count:  # a convolution fails on no rows
        assert found == [[0, size]] * count
    else:
        assert [row for begin, end in found for row in range(begin, end)] == list(range(size))
        assert max(end - begin for begin, end in found) <= min(end - begin for begin, end in found) + 1
