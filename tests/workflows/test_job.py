"""The job `test` of ci.yml as a hosted runner would run it: by act, with what .ci/runner lists of such a runner, and with nothing else.

A step that calls a program or reads a variable which the list lacks does not find it here. `.ci/run` runs the whole suite so.
"""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster
from tests.support.fork import ROOT, Fork
from tests.workflows.act import GitHub
from tests.workflows.test_flow_files import load

RUNNER = ROOT / ".ci/runner"
# One of each group that needs more than Python, by what it asks for: engine, registry, a release's image, node, act, servers.
SELECTION = [
    "tests/container/test_registry.py::test_a_manifest_that_is_not_there",
    "tests/container/test_image.py::test_answers_every_golden_example_by_rest_and_grpc",
    "tests/cluster/test_cluster.py::test_a_pod_runs_a_pushed_digest_and_finds_its_peers_by_name",
    "tests/workflows/test_preview.py::test_until_it_is_switched_on_nothing_runs",
    "tests/serving/test_lifecycle.py::test_signal_while_waiting_for_a_model",
]


@pytest.mark.timeout(900)  # a node, a training, an image and a process that imports TensorFlow
def test_it_needs_nothing_that_a_runner_lacks(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [f"--kubeconfig={cluster.kubeconfig}", f"--registry={cluster.registry}"]
    given.append(f"--may-change={cluster.kubectl('config', 'current-context').strip()}")
    monkeypatch.setenv("SERVING_IMAGE", "nowhere/of-this-machine-alone")
    github = GitHub(tmp_path / "github", Fork(tmp_path / "fork"))
    run = github.run(
        "ci",
        "pull_request",
        {"number": 7, "pull_request": {"number": 7}},
        job="test",
        within=(str(RUNNER),),
        environment={"PYTEST_ADDOPTS": " ".join(["--maxprocesses=1", *given, *SELECTION])},
    ).ok()
    assert f"{len(SELECTION)} passed" in run.log, "some of them were skipped"


def test_the_hermetic_ci_runs_that_job_s_line() -> None:
    (step,) = [step for step in load("ci")["jobs"]["test"]["steps"] if "run" in step]
    variables = " ".join(f"{name}={value}" for name, value in step["env"].items())
    assert f"\n.ci/runner env {variables} {step['run']} " in (ROOT / ".ci/run").read_text()


def test_what_the_list_lacks_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor is who runs this: a runner's git knows nobody, though its caches are found."""
    monkeypatch.setenv("SERVING_IMAGE", "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\nname = somebody\n")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/kept").touch()
    looked = "for name in python3 git docker docker-registry mmdebstrap; do command -v $name; done; echo ${SERVING_IMAGE-unset}"
    looked += "; git config user.name; ls ~/.cache"
    done = subprocess.run([RUNNER, "sh", "-c", looked], capture_output=True, text=True, check=True)
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert names == ["python3", "git", "docker", "unset", "kept", "pipeline"]
