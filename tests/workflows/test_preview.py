"""preview, executed: a pull request serves in a namespace of its own, which goes with it; one from a fork has none.

Stood in for is `./pipeline test-image`, which tests/container runs.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from scripts.environments.node import REGISTRY
from tests.cluster.conftest import Cluster
from tests.support.fork import ROOT, Fork
from tests.workflows.act import REPOSITORY, GitHub, Run
from tests.workflows.conftest import shrink

NUMBER = 1 + os.getpid() % 30_000  # two test processes may share a cluster
NAMESPACE = f"preview-{NUMBER}"
TESTED = '''"""Stands in for the tests of the image: notes that it passed them"""

from scripts.release import images, releases
from scripts.workspace import files


def run() -> int:
    files.write_json(images.NOTE, images.note(releases.read()) | {"tested": True})
    return 0
'''


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("preview") / "fork")
    fork.write_model()
    fork.edit("pyproject.toml", 'image = ""', f'image = "{REGISTRY}/{fork.root.name}"')
    shrink(fork, "k8s/overlays/dev")
    (fork.root / "scripts/test_image.py").write_text(TESTED)
    fork.commit("a pull request")
    yield fork
    fork.clean_up()


@pytest.fixture(scope="module")
def github(fork: Fork, tmp_path_factory: pytest.TempPathFactory) -> GitHub:
    return GitHub(tmp_path_factory.mktemp("github") / "github", fork)


@pytest.fixture(scope="module")
def previewer(cluster: Cluster, admission: None) -> Iterator[str]:
    """The kubeconfig of the environment `preview`."""
    cluster.kubectl("apply", "-k", str(ROOT / "k8s/previews"))
    token = cluster.kubectl("create", "token", "previewer", "--namespace=previews", "--duration=2h").strip()
    config = YAML(typ="safe").load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    yield json.dumps(config)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def event(github: GitHub, action: str, repository: str = REPOSITORY) -> dict[str, Any]:
    sha = github.git("rev-parse", "main").strip()
    head = {"ref": "change", "sha": sha, "repo": {"full_name": repository}}
    return {
        "action": action,
        "number": NUMBER,
        "pull_request": {"number": NUMBER, "head": head, "base": {"ref": "main"}},
    }


def run(github: GitHub, previewer: str, action: str, repository: str = REPOSITORY) -> Run:
    state = "closed" if action == "closed" else "open"
    github.change(pulls=[{"number": NUMBER, "state": state, "head": {"ref": "change"}}])
    given = {"variables": {"PREVIEW": "true", "CLUSTER": "kubeconfig"}, "secrets": {"KUBECONFIG": previewer}}
    return github.run("preview", "pull_request", event(github, action, repository), **given)


def namespace(cluster: Cluster) -> dict[str, Any] | None:
    found = cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=json")
    return json.loads(found) if found else None


def test_opened_it_serves_and_closed_it_is_gone(github: GitHub, previewer: str, cluster: Cluster, fork: Fork) -> None:
    opened = run(github, previewer, "opened").ok()
    assert opened.jobs["deploy"] == "success" and "sweep" not in {k for k, v in opened.jobs.items() if v == "success"}
    live = json.loads(cluster.kubectl("get", "deployment/serving", f"--namespace={NAMESPACE}", "--output=json"))
    image = live["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{REGISTRY}/{fork.root.name}-preview@sha256:"), "no release can come from there"
    assert "by REST and gRPC on 1 server: all right" in opened.log
    assert f"serves in namespace `{NAMESPACE}`, verified" in opened.summary

    closed = run(github, previewer, "closed").ok()
    assert closed.jobs["sweep"] == "success" and f"removed: {NAMESPACE}" in closed.log
    left = namespace(cluster)
    assert left is None or "deletionTimestamp" in left["metadata"]


@pytest.mark.parametrize("action", ["opened", "closed"])
def test_from_a_fork_nothing_runs(github: GitHub, previewer: str, action: str) -> None:
    stranger = run(github, previewer, action, "stranger/Model").ok()
    assert "success" not in stranger.jobs.values() and "pipeline" not in stranger.log


def test_until_it_is_switched_on_nothing_runs(github: GitHub) -> None:
    off = github.run("preview", "pull_request", event(github, "opened")).ok()
    assert "success" not in off.jobs.values() and "pipeline" not in off.log


def test_switched_on_without_a_cluster_it_says_which_variable_to_set(github: GitHub) -> None:
    unset = github.run("preview", "workflow_dispatch", {}, variables={"PREVIEW": "true"}).ok()
    assert any(
        "preview has no cluster: set the variable CLUSTER of the environment preview" in a for a in unset.annotations
    )
