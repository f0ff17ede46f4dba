"""A release whose training outlives its runner: left to go on, started again once by its end, whatever that is, and never trained twice."""

import secrets
from pathlib import Path

import pytest

from scripts.release import artifacts, environment
from scripts.release.oci import CONFIG, MANIFEST
from scripts.release.registry import Repository, Text, descriptor
from tests.support.fork import ROOT
from tests.workflows.act import REPOSITORY, GitHub

from .environment import Environment
from .test_training import dev

__all__ = ["dev"]
COMMAND = "'exec python3 pipeline \"$@\" >/dev/termination-log'"
MEMORY = 'memory = "2Gi"\n'
HELD = "  backoffLimit: 6\n"


def test_it_is_left_and_started_again_by_its_end(dev: Environment, tmp_path: Path) -> None:
    fork = dev.fork
    fork.write_model(SLOPE=f"2.0 + 0 * {secrets.randbits(32)}")  # of which the registry has nothing yet
    fork.edit("pyproject.toml", MEMORY, f"{MEMORY}wait = 0\n")
    fork.edit("k8s/training/job.yaml", COMMAND, "'echo error: the data are gone; exit 1'")
    fork.edit("k8s/training/job.yaml", HELD, f"{HELD}  suspend: true\n")
    fork.commit("a training that ends badly, when it may begin")
    github, head = GitHub(tmp_path / "github", fork), fork.git("rev-parse", "HEAD").strip()
    dev.variables = {"PATH": f"{ROOT}/tests/workflows/bin:/usr/bin:/bin", "STAND_IN_STATE": str(github.state)}
    dev.variables |= {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_OUTPUT": str(tmp_path / "output")}
    said = dev.ok("elsewhere", "dev").err
    assert "instant: is suspended" in said and f"next: gh workflow run release.yml -f commit={head}" in said
    assert "no training that a release waits for has ended" in dev.ok("resume", "dev").err
    (job,) = dev.get("jobs")["items"]
    name = f"job/{job['metadata']['name']}"
    dev.kubectl("patch", name, '--patch={"spec": {"suspend": false}}')
    dev.kubectl("wait", name, "--for=condition=failed", "--timeout=300s")
    for _ in range(2):
        dev.ok("resume", "dev")
    asked = {"workflow": "release.yml", "ref": "main", "inputs": {"commit": head}}
    assert github.read()["dispatches"] == [asked]
    assert "the data are gone" in dev.refused("elsewhere", "dev")
    assert dev.get("jobs")["items"] == []
    digest = artifacts.push(Repository(f"{dev.cluster.registry}/pipeline-test-training"), "x/y", {}, tag(job))
    dev.ok("elsewhere", "dev")
    assert f"\ninstant@{digest}\n" in (tmp_path / "output").read_text()
    assert dev.get("jobs")["items"] == []


def test_is_refused_before_anything_waits(dev: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue where nothing lets a Job begin; an environment in the registry that is for other nodes."""
    settings = dev.fork.root / "pyproject.toml"
    before = settings.read_text()
    settings.write_text(before.replace(MEMORY, f'{MEMORY}queue = "days"\n'))
    assert "queue is 'days', and the cluster of dev has no Kueue" in dev.refused("train", "--on", "dev")
    monkeypatch.chdir(dev.fork.root)
    place, config = Repository(f"{dev.cluster.registry}/pipeline-other-training"), Text(b'{"architecture": "arm64"}')
    place.push(config)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": []}
    place.push_manifest(manifest, environment.image("amd64").replace(":", "-"))
    amd64 = before.replace(MEMORY, f'{MEMORY}nodes = {{ "kubernetes.io/arch" = "amd64" }}\n')
    settings.write_text(amd64.replace("/pipeline-test", "/pipeline-other"))
    assert "is for arm64, and a training is wanted on nodes of amd64" in dev.refused("train", "--on", "dev")
    settings.write_text(before)
    assert dev.get("jobs")["items"] == []


def tag(job: dict) -> str:
    """That of its training in the registry."""
    return job["metadata"]["name"].removeprefix("train-")
