"""A pull request in a namespace of its own: served and verified there, gone when it is closed, and no way from there to anywhere else."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.fork import ROOT

from .conftest import Cluster, environment
from .environment import Environment

NUMBER = 1 + os.getpid() % 30_000  # two test processes may share a cluster
NAMESPACE = f"preview-{NUMBER}"
POLICY = "ValidatingAdmissionPolicy 'serving-only-previews'"


@pytest.fixture(scope="module")
def previews(cluster: Cluster, admission: None) -> None:
    """What an administrator applies once: k8s/previews; returns when it acts."""
    cluster.kubectl("apply", "-k", str(ROOT / "k8s/previews"))
    probe = ["create", "configmap", "x", "--dry-run=server", "--as=somebody", "--as-group=serving-previewers"]
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", *probe]
    deadline = time.monotonic() + 60
    while POLICY not in subprocess.run(command, capture_output=True, text=True).stderr:
        assert time.monotonic() < deadline, "the API server reads its policies every few seconds, and tells nobody"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def pull_request(cluster: Cluster, previews: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A checkout of one, whose KUBECONFIG is the previewer's, and a `gh` that says in what state the pull request is."""
    folder = tmp_path_factory.mktemp("preview")
    for dev in environment(cluster, folder):
        token = cluster.kubectl("create", "token", "previewer", "--namespace=previews", "--duration=2h").strip()
        config = YAML(typ="safe").load(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        kubeconfig = folder / "previewer"
        kubeconfig.write_text(json.dumps(config))
        gh = folder / "bin/gh"
        gh.parent.mkdir()
        gh.write_text(f'#!/bin/sh\n[ "$4" = repos/owner/fork/pulls/{NUMBER} ] && cat {folder}/pull.json\n')
        gh.chmod(0o755)
        path = f"{gh.parent}{os.pathsep}{os.environ['PATH']}"
        # What makes dev reachable from outside, and what judges it by its requests; this cluster does not even know their kinds.
        more = "components: [../../components/ingress, ../../components/flagger]"
        dev.fork.edit("k8s/overlays/dev/kustomization.yaml", "components: []", more)
        dev.fork.edit("k8s/overlays/dev/kustomization.yaml", "  - path: replicas.yaml\n", "")
        dev.fork.commit("ingress and flagger")
        yield Environment(dev.fork, cluster, NAMESPACE, kubeconfig, {"PATH": path, "GITHUB_REPOSITORY": "owner/fork"})
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def propose(pull_request: Environment, release: dict[str, Any]) -> None:
    folder = pull_request.fork.root / "build/release"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "release.json").write_text(json.dumps(release))


def state(pull_request: Environment, state: str) -> None:
    (pull_request.kubeconfig.parent / "pull.json").write_text(json.dumps({"state": state}))


def test_it_serves_is_replaced_and_goes(pull_request: Environment, releases: dict[str, Any]) -> None:
    head = pull_request.fork.git("rev-parse", "HEAD")
    for name in ("one", "two"):  # opened, and pushed to
        propose(pull_request, releases[name])
        said = pull_request.ok("preview", str(NUMBER)).err
        assert "by REST and gRPC on 1 server: all right" in said
        assert pull_request.image() == "@".join(releases[name]["image"].values())
    assert pull_request.fork.git("rev-parse", "HEAD") == head, "a preview has no ledger"

    propose(pull_request, releases["crashing"])
    assert "there is no other release to put back" in pull_request.refused("preview", str(NUMBER))

    state(pull_request, "open")
    assert "removed: none" in pull_request.ok("preview", "--sweep").err
    pull_request.variables["GITHUB_REPOSITORY"] = "owner/other"
    try:
        assert f"the namespace {NAMESPACE} belongs to owner/fork" in pull_request.refused("preview", str(NUMBER))
        assert "removed: none" in pull_request.ok("preview", "--sweep").err
    finally:
        pull_request.variables["GITHUB_REPOSITORY"] = "owner/fork"
    state(pull_request, "closed")
    assert f"removed: {NAMESPACE}" in pull_request.ok("preview", "--sweep").err
    found = pull_request.cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "json")
    assert not found or "deletionTimestamp" in json.loads(found)["metadata"]


def privileged(labels: dict[str, str]) -> str:
    metadata = {"name": f"{NAMESPACE}-x", "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["create", "configmap", "x", "--namespace=serving-dev"], None),
        (["delete", "configmap", "kube-root-ca.crt", "--namespace=serving-dev"], None),
        (["delete", "namespace", "serving-dev"], None),
        (["create", "namespace", "elsewhere"], None),
        (["create", "-f", "-"], privileged({"serving": "true"})),
        (["create", "-f", "-"], privileged({"pod-security.kubernetes.io/enforce": "restricted"})),
        (["label", "namespace", "serving-dev", "pod-security.kubernetes.io/enforce-"], None),
    ],
    ids=[
        "create",
        "delete",
        "end an environment",
        "a namespace of another name",
        "without pod security",
        "without digests",
        "loosen",
    ],
)
def test_a_previewer_can_do_nothing_elsewhere(
    pull_request: Environment, arguments: list[str], stdin: str | None
) -> None:
    command = ["kubectl", f"--kubeconfig={pull_request.kubeconfig}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    assert done.returncode == 1 and POLICY in done.stderr, done.stderr


@pytest.mark.parametrize("arguments", [["7"], ["--sweep"]], ids=" ".join)
def test_without_a_cluster_it_says_which_variable_to_set(
    shared_fork: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    said = shared_fork.ok("preview", *arguments).err
    assert (
        said
        == "  skipped    no cluster is configured for previews: set the variable CLUSTER of the environment preview\n"
    )


@pytest.mark.parametrize("arguments", [[], ["7", "--sweep"]], ids=["neither", "both"])
def test_a_number_or_the_sweep(shared_fork: Any, arguments: list[str]) -> None:
    result = shared_fork.run("preview", *arguments)
    assert (
        result.err
        == "error: preview takes the number of a pull request, or --sweep\n  next: ./pipeline preview --help\n"
    )
