"""The image as production runs it: read-only, unprivileged, limited. `./pipeline test-image` runs this on a given image."""

import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from ruamel.yaml import YAML

from scripts.environments import verification
from scripts.environments.client import Endpoint, NoAnswer
from scripts.release.releases import Release
from tests.container.conftest import unready, wait_until_ready
from tests.support.fork import ROOT

PAUSE_SECONDS = 0.01  # between two looks: without it, whoever looks takes the processor from what it waits for
BASE = YAML(typ="safe").load(ROOT / "k8s/base/deployment.yaml")


def test_answers_every_golden_example_by_rest_and_grpc(served, release: Release) -> None:
    assert verification.problems(served[1], release) == []


def test_is_ready_only_when_it_answers(start: Callable, release: Release) -> None:
    """From the first connection that is accepted on, no request fails."""
    with start() as (container, endpoint):
        while reason := unready(endpoint, release):
            assert not reason.startswith("HTTP"), f"it listened, and was not ready: {reason}"
            container.reload()
            assert container.status == "running"
            time.sleep(PAUSE_SECONDS)
        assert verification.problems(endpoint, release) == []


def test_tells_its_version_and_signature(served, release: Release) -> None:
    for model in release.models:
        assert served[1].status(model["name"]) == {release.version: ("AVAILABLE", "")}
        signature = served[1].metadata(model["name"])["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"].keys() == model["signature"]["inputs"].keys()
        assert signature["outputs"].keys() == model["signature"]["outputs"].keys()


def test_refuses_wrong_input_with_tensorflow_serving_s_message(served, release: Release) -> None:
    expected = "HTTP 400: JSON Value: {\n    \"instances\": 1.0\n} Expecting 'instances' to be an list/array"
    connection = http.client.HTTPConnection(served[1].host, served[1].rest_port, timeout=10)
    connection.request("POST", f"/v1/models/{release.models[0]['name']}:predict", '{"instances": 1.0}')
    response = connection.getresponse()
    assert f"HTTP {response.status}: {json.loads(response.read())['error']}" == expected


def test_counts_requests_for_prometheus(served, release: Release) -> None:
    assert verification.problems(served[1], release) == []
    connection = http.client.HTTPConnection(served[1].host, served[1].rest_port, timeout=10)
    connection.request("GET", "/monitoring/prometheus/metrics")
    text = connection.getresponse().read().decode()
    name = release.models[0]["name"]
    assert f':tensorflow:serving:request_count{{model_name="{name}",status="OK"}} ' in text


def test_runs_without_root_without_writing_and_without_a_shell(served) -> None:
    container, _ = served
    container.reload()
    config, host = container.attrs["Config"], container.attrs["HostConfig"]
    assert config["User"].split(":")[0].isdigit()
    assert config["User"] != "0"
    assert config["Entrypoint"][0] == "/usr/bin/tensorflow_model_server"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"] or {"CHOWN", "NET_RAW", "SETUID"} <= set(host["CapDrop"])  # Podman names each
    mounted = {"/tmp", "/etc"}  # the second by Podman, for its own files
    assert {change["Path"] for change in container.diff() or []} <= mounted


def test_knows_every_flag_that_it_is_given(served) -> None:
    """TensorFlow Serving names one that it does not know, prints its usage and runs on without it."""
    assert "unknown argument" not in served[0].logs().decode()


def test_needs_no_network(start: Callable) -> None:
    with start(network_mode="none") as (container, _):
        container.reload()
        proc = Path(f"/proc/{container.attrs['State']['Pid']}")
        if not proc.exists():
            pytest.skip("the engine runs on another machine: its processes cannot be looked at")
        while not _listens(proc, 8500) or not _listens(proc, 8501):
            container.reload()
            assert container.status == "running", container.logs(tail=3)
            time.sleep(PAUSE_SECONDS)


def _listens(proc: Path, port: int) -> bool:
    tables = "".join((proc / "net" / table).read_text() for table in ("tcp", "tcp6"))
    return any(f":{port:04X} " in line and " 0A " in line for line in tables.splitlines())  # 0A: LISTEN


def test_tensorflow_s_threads_follow_the_arguments_and_not_the_machine(start: Callable, release: Release) -> None:
    counts = []
    for threads in (1, 9):
        flags = [f"--tensorflow_{kind}_op_parallelism={threads}" for kind in ("intra", "inter")]
        with start(*flags) as (container, endpoint):
            wait_until_ready(container, endpoint, release)
            verification.problems(endpoint, release)
            container.reload()
            task = Path(f"/proc/{container.attrs['State']['Pid']}/task")
            if not task.exists():
                pytest.skip("the engine runs on another machine: its processes cannot be looked at")
            counts.append(len(list(task.iterdir())))
    assert counts[1] - counts[0] >= 8


def test_finishes_the_requests_in_flight_when_it_is_stopped(start: Callable, release: Release) -> None:
    """As a pod is: by the hook of k8s/base, without its wait for clients, and then by SIGTERM, to a process that is not the first."""
    (container,) = BASE["spec"]["template"]["spec"]["containers"]
    hook = [re.sub("^sleep .*", "", part) for part in container["lifecycle"]["preStop"]["exec"]["command"]]
    with start(init=True) as (container, endpoint):
        wait_until_ready(container, endpoint, release)
        answers, stop = _clients(endpoint, release, 4)
        while len(answers) < 100:
            assert not [answer for answer in answers if answer is not None]
            time.sleep(PAUSE_SECONDS)
        stop.set()  # none begins any more; those in flight are the server's to finish
        assert container.exec_run(hook) == (0, b"")
        container.kill("SIGTERM")
        for thread in threading.enumerate():
            if thread.name == "client":
                thread.join()
        assert not [answer for answer in answers if answer is not None]
        assert container.wait(timeout=60)["StatusCode"] in (0, 128 + signal.SIGTERM)


def _clients(endpoint: Endpoint, release: Release, count: int) -> tuple[list[str | None], threading.Event]:
    """Threads that ask until the event is set; the list grows by None for an answer, by the error for none."""
    answers: list[str | None] = []
    stop, model = threading.Event(), release.models[0]

    def loop() -> None:
        while not stop.is_set():
            try:
                endpoint.predict_by_rest(model["name"], model["examples"][0]["inputs"])
                answers.append(None)
            except NoAnswer as error:
                answers.append(str(error))

    for _ in range(count):
        threading.Thread(target=loop, name="client").start()
    return answers, stop


def test_says_what_it_is(engine: docker.DockerClient, image: str, release: Release) -> None:
    labels = engine.images.get(image).labels
    assert labels["pipeline.release"] == release.id
    assert labels["org.opencontainers.image.revision"] == release.document["commit"]
    assert labels["org.opencontainers.image.created"] == release.document["created"]
    assert labels["org.opencontainers.image.version"] == f"{release.version}-{release.name}"
