"""k8s/clusters, as far as can be tried without a cloud: the declarations by their schemas, the sizes by AWS's own figures, the aws and
gcloud commands by the real programs. What no machine without an account can try stands in each README there."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from ruamel.yaml import YAML

from tests.conftest import requires
from tests.support import aws, crds
from tests.support.fork import ROOT

CLUSTERS = ROOT / "k8s/clusters"
PROVIDERS = ["kops", "eks", "gke", "aks"]
KOPS = "k8s.io/kops@v1.32.0"
SUBJECT = "repo:Octo-Org@5544123/Digits@821093847:environment:dev"


def documents(path: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((CLUSTERS / path).read_text()))


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with aws.running(tmp_path_factory.mktemp("aws")) as environment:
        yield environment


def answer(environment: dict[str, str], *arguments: str) -> Any:
    command = ["aws", *arguments, "--output", "json"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_has_the_same_verbs_on_one_screen(provider: str) -> None:
    script = CLUSTERS / provider / "cluster"
    assert len(script.read_text().splitlines()) <= 50
    assert os.access(script, os.X_OK)
    subprocess.run([Path(sys.executable).parent / "shellcheck", script], check=True)
    environment = os.environ | {"KOPS_STATE_STORE": "s3://x", "GCP_PROJECT": "x"}
    for arguments in (["unknown"], [], ["delete"], ["trust", "dev"]):
        done = subprocess.run([script, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        for verb in ("create", "validate", "connect", "trust ENV SUBJECT", "upgrade", "delete NAME"):
            assert verb in done.stderr, verb


@pytest.mark.parametrize("provider", ["kops", "eks", "gke", "aks"])
def test_delete_wants_the_name(provider: str, tmp_path: Path) -> None:
    """Nothing is called for another name: there is no program on PATH that could be."""
    for program in ("sed", "head", "dirname", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    environment = {"PATH": str(tmp_path), "KOPS_STATE_STORE": "s3://x", "GCP_PROJECT": "x"}
    command = [CLUSTERS / provider / "cluster", "delete", "another"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.fixture(scope="module")
def kops_schemas() -> dict[str, Any]:
    """kops' own resource definitions."""
    return crds.validators(KOPS, *(f"k8s/crds/kops.k8s.io_{kind}.yaml" for kind in ("clusters", "instancegroups")))


def test_kops_knows_every_field(kops_schemas: dict[str, Any]) -> None:
    for document in documents("kops/cluster.yaml"):
        kops_schemas[document["kind"]](document)
    document = documents("kops/cluster.yaml")[0]
    document["spec"]["topology"]["dns"]["typo"] = "None"
    with pytest.raises(fastjsonschema.JsonSchemaException, match="must not contain"):
        kops_schemas["Cluster"](document)


def test_kops_groups_are_whole() -> None:
    """One control plane a zone, as etcd's members want it; every subnet is there; nodes in every zone, private."""
    cluster, *groups = documents("kops/cluster.yaml")
    name, subnets = cluster["metadata"]["name"], {s["name"]: s for s in cluster["spec"]["subnets"]}
    private = {name for name, subnet in subnets.items() if subnet["type"] == "Private"}
    assert len({subnets[s]["zone"] for s in private}) == 3
    assert {s["zone"] for s in subnets.values() if s["type"] == "Utility"} == {subnets[s]["zone"] for s in private}
    planes = {g["metadata"]["name"]: g["spec"] for g in groups if g["spec"]["role"] == "Master"}
    for etcd in cluster["spec"]["etcdClusters"]:
        assert {member["instanceGroup"] for member in etcd["etcdMembers"]} == set(planes)
        assert all(member["encryptedVolume"] for member in etcd["etcdMembers"])
    assert {subnet for plane in planes.values() for subnet in plane["subnets"]} == private
    (nodes,) = [g["spec"] for g in groups if g["spec"]["role"] == "Node"]
    assert set(nodes["subnets"]) == private
    assert nodes["minSize"] >= 3
    assert {g["metadata"]["labels"]["kops.k8s.io/cluster"] for g in groups} == {name}


def sizes() -> dict[str, tuple[str, int]]:
    """Machine type: who asks for it, and the MiB that it needs at least."""
    groups = documents("kops/cluster.yaml")[1:]
    asked = {g["spec"]["machineType"]: g["spec"]["role"] for g in groups}
    asked |= {g["instanceType"]: "Node" for g in documents("eks/cluster.yaml")[0]["managedNodeGroups"]}
    return {machine: (role, 4096 if role == "Master" else 8192) for machine, role in asked.items()}


def test_machines_are_large_enough_and_to_be_had_in_every_zone(local_aws: dict[str, str]) -> None:
    """moto carries AWS's own tables of its machine types."""
    for machine, (role, mebibytes) in sizes().items():
        (found,) = answer(local_aws, "ec2", "describe-instance-types", "--instance-types", machine)["InstanceTypes"]
        assert found["MemoryInfo"]["SizeInMiB"] >= mebibytes, (machine, role)
        assert found["VCpuInfo"]["DefaultVCpus"] >= 2, (machine, role)
        arguments = ["--location-type", "availability-zone-id", "--filters", f"Name=instance-type,Values={machine}"]
        offered = answer(local_aws, "ec2", "describe-instance-type-offerings", *arguments)["InstanceTypeOfferings"]
        assert len({offer["Location"] for offer in offered}) == 3, machine


def test_eks_connects_by_the_real_aws(local_aws: dict[str, str], tmp_path: Path) -> None:
    role, network = f"arn:aws:iam::{aws.ACCOUNT}:role/eks", "subnetIds=subnet-1,subnet-2"
    answer(
        local_aws, "eks", "create-cluster", "--name", "serving", "--role-arn", role, "--resources-vpc-config", network
    )
    kubeconfig = tmp_path / "kubeconfig"
    environment = os.environ | local_aws | {"KUBECONFIG": str(kubeconfig)}
    subprocess.run([CLUSTERS / "eks/cluster", "connect"], env=environment, check=True, capture_output=True)
    written = YAML(typ="safe").load(kubeconfig.read_text())
    assert written["current-context"] == f"arn:aws:eks:eu-central-1:{aws.ACCOUNT}:cluster/serving"
    login = written["users"][0]["user"]["exec"]
    assert [login["command"], *login["args"]][:1] == ["aws"]
    token = subprocess.run(
        [login["command"], *login["args"]], env=environment, capture_output=True, text=True, check=True
    )
    credential = json.loads(token.stdout)
    assert credential["apiVersion"] == login["apiVersion"]
    assert credential["status"]["token"].startswith("k8s-aws-v1.")


def test_the_state_store_of_kops_is_versioned_and_private(local_aws: dict[str, str]) -> None:
    environment = os.environ | local_aws | {"KOPS_STATE_STORE": "s3://serving-kops-state"}
    subprocess.run([CLUSTERS / "kops/cluster", "store"], env=environment, check=True)
    bucket = ["--bucket", "serving-kops-state"]
    assert answer(local_aws, "s3api", "get-bucket-versioning", *bucket)["Status"] == "Enabled"
    block = answer(local_aws, "s3api", "get-public-access-block", *bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


@pytest.mark.parametrize("verb", ["create", "validate", "connect", "upgrade", "delete serving"])
def test_gcloud_knows_every_option(verb: str, tmp_path: Path) -> None:
    """Without an account it refuses only after it has read the command line."""
    if not shutil.which("gcloud"):
        requires("gcloud", "gcloud is not installed")
    environment = os.environ | {
        "CLOUDSDK_CONFIG": str(tmp_path),
        "GCP_PROJECT": "a-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    done = subprocess.run([CLUSTERS / "gke/cluster", *verb.split()], env=environment, capture_output=True, text=True)
    assert "You do not currently have an active account selected" in done.stderr
    assert not re.search("unrecognized|invalid choice", done.stderr)


def test_the_role_that_reads_data_is_made_as_its_page_says(local_aws: dict[str, str]) -> None:
    """All but the last two lines, which need GitHub."""
    page = (ROOT / "docs/data.md").read_text()
    (block,) = re.findall(r"```sh\n(BUCKET=.*?)```", page, re.DOTALL)
    commands = "".join(line for line in block.splitlines(keepends=True) if not line.startswith("gh "))
    subprocess.run(["bash", "-euc", commands], env=os.environ | local_aws, check=True, capture_output=True)
    (policy,) = answer(local_aws, "iam", "list-role-policies", "--role-name", "reads-acme-data")["PolicyNames"]
    role = answer(local_aws, "iam", "get-role", "--role-name", "reads-acme-data")["Role"]
    subjects = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
    assert policy == "read"
    assert "repo:acme/rents:pull_request" in subjects["token.actions.githubusercontent.com:sub"]
