"""connect: an environment's variables into a kubeconfig; what is missing is said before any cloud is asked."""

import json
import os
import stat
from pathlib import Path

import pytest

from scripts.workspace import actions
from tests.support.fork import Fork, Result, run_verb

EKS = {"CLUSTER": "eks", "CLUSTER_NAME": "one", "CLUSTER_REGION": "eu-west-1", "AWS_ROLE": "arn"}


AKS = {
    "CLUSTER": "aks",
    "CLUSTER_NAME": "c",
    "AZURE_RESOURCE_GROUP": "g",
    "AZURE_CLIENT_ID": "i",
    "AZURE_TENANT_ID": "t",
    "AZURE_SUBSCRIPTION_ID": "s",
}
ENTRA = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: https://c.example.com}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users:
  - name: u
    user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin, args: [get-token]}}
"""


def connect(fork: Fork, variables: dict[str, str], *arguments: str, **environment: str) -> Result:
    return run_verb(
        fork.root, ("connect", "dev", *arguments), os.environ | {"VARIABLES": json.dumps(variables)} | environment
    )


def test_without_a_cluster_it_says_which_variable_and_succeeds(shared_fork: Fork) -> None:
    result = connect(shared_fork, {}, "--check", GITHUB_ACTIONS="true")
    text = "dev has no cluster: set the variable CLUSTER of the environment dev in the settings on GitHub"
    assert (result.code, result.err) == (0, f"  skipped    {text}\n")
    assert result.out == f"::notice::{text}\n"


BAD = {
    "a cloud like no other": ({"CLUSTER": "ekss"}, "CLUSTER is 'ekss'; did you mean 'eks'?"),
    "all of EKS": ({"CLUSTER": "eks"}, "CLUSTER is eks, and there is no CLUSTER_NAME, no CLUSTER_REGION, no AWS_ROLE"),
    "an empty one": (EKS | {"AWS_ROLE": ""}, "CLUSTER is eks, and there is no AWS_ROLE"),
    "the identity of GKE": (
        {"CLUSTER": "gke", "CLUSTER_NAME": "one", "CLUSTER_REGION": "r", "GCP_PROJECT": "p"},
        "CLUSTER is gke, and there is no GCP_WORKLOAD_IDENTITY_PROVIDER",
    ),
    "the group of AKS": (
        {
            "CLUSTER": "aks",
            "CLUSTER_NAME": "one",
            "AZURE_CLIENT_ID": "c",
            "AZURE_TENANT_ID": "t",
            "AZURE_SUBSCRIPTION_ID": "s",
        },
        "CLUSTER is aks, and there is no AZURE_RESOURCE_GROUP",
    ),
    "the secret": ({"CLUSTER": "kubeconfig"}, "CLUSTER is kubeconfig, and there is no secret KUBECONFIG"),
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses(shared_fork: Fork, defect: str) -> None:
    variables, message = BAD[defect]
    result = connect(shared_fork, variables, "--check")
    assert result.code == 1
    assert result.err.splitlines()[0] == f"error: {message}"
    assert "the environment dev, in the settings on GitHub" in result.err


def test_writes_the_secret_where_nobody_else_reads_it(shared_fork: Fork, tmp_path: Path) -> None:
    text, written = "apiVersion: v1\nkind: Config\n", tmp_path / "env"
    connect(shared_fork, {"CLUSTER": "kubeconfig"}, KUBECONFIG_TEXT=text, GITHUB_ENV=str(written))
    path = shared_fork.root / "build/kubeconfig"
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    name, value, *_ = written.read_text().splitlines()
    assert (name.partition("<<")[0], value) == ("KUBECONFIG", str(path))


def test_checks_without_writing(shared_fork: Fork, tmp_path: Path) -> None:
    (shared_fork.root / "build/kubeconfig").unlink(missing_ok=True)
    output = tmp_path / "output"
    connect(shared_fork, {"CLUSTER": "kubeconfig"}, "--check", KUBECONFIG_TEXT="x", GITHUB_OUTPUT=str(output))
    assert output.read_text().splitlines()[1] == "kubeconfig"
    assert not (shared_fork.root / "build/kubeconfig").exists()


def test_asks_aws_and_says_what_it_says(shared_fork: Fork, tmp_path: Path) -> None:
    """The real CLI is asked in tests/test_clusters.py; here one that refuses."""
    aws = tmp_path / "bin/aws"
    aws.parent.mkdir()
    aws.write_text('#!/bin/sh\necho "$@" > asked\necho "An error occurred (AccessDeniedException)" >&2\nexit 254\n')
    aws.chmod(0o755)
    result = connect(shared_fork, EKS, PATH=f"{aws.parent}:{os.environ['PATH']}")
    assert result.code == 1
    assert result.err.splitlines()[0] == "error: aws eks update-kubeconfig: An error occurred (AccessDeniedException)"
    asked = (shared_fork.root / "asked").read_text().split()
    assert asked == [
        "eks",
        "update-kubeconfig",
        "--name",
        "one",
        "--region",
        "eu-west-1",
        "--kubeconfig",
        "build/kubeconfig",
    ]


def test_a_cluster_that_asks_entra_gets_the_token_that_az_has(shared_fork: Fork, tmp_path: Path) -> None:
    (tmp_path / "written-by-the-action").write_text(ENTRA)
    az = tmp_path / "bin/az"
    az.parent.mkdir()
    az.write_text('#!/bin/sh\necho "$*" >asked\necho \'{"accessToken": "secret"}\'\n')
    az.chmod(0o755)
    path = f"{az.parent}:{os.environ['PATH']}"
    result = connect(shared_fork, AKS, KUBECONFIG=str(tmp_path / "written-by-the-action"), PATH=path)
    assert result.code == 0, result.err
    document = json.loads((shared_fork.root / "build/kubeconfig").read_text())
    assert document["users"] == [{"name": "u", "user": {"token": "secret"}}]
    assert document["current-context"] == "c"
    asked = (shared_fork.root / "asked").read_text()
    assert asked == "account get-access-token --resource 6dae42f8-4368-4678-94ff-3960e28e3630 --output json\n"
    assert "secret" not in result.out + result.err


def test_a_value_cannot_set_another_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    path = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(path))
    actions.output(name="one\nEOF\nother=two")
    head, *lines, end = path.read_text().splitlines()
    assert lines == ["one", "EOF", "other=two"]
    assert head == f"name<<{end}"
    assert len(end) == 32


def test_a_summary_is_no_longer_than_github_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    for text in ("short", "ö" * 2**20, "more"):
        actions.summary(text)
    assert 2**20 - 101 <= path.stat().st_size <= 2**20
    assert path.read_text().startswith("short\n\nö")
