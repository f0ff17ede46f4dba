"""A kubeconfig for an environment, from the variables that its owner has set: which a provider needs, and which are missing."""

import json
import os
from pathlib import Path

from ruamel.yaml import YAML

from scripts.workspace import actions, console, files, process, settings
from scripts.workspace.errors import YourTurn

FILE = Path("build/kubeconfig")
SECRET = "secret KUBECONFIG"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"  # what Entra ID calls the API server of every cluster of AKS
NEEDED = {  # CLUSTER: the variables beside it
    "eks": ["CLUSTER_NAME", "CLUSTER_REGION", "AWS_ROLE"],
    "gke": ["CLUSTER_NAME", "CLUSTER_REGION", "GCP_PROJECT", "GCP_WORKLOAD_IDENTITY_PROVIDER"],
    "aks": ["CLUSTER_NAME", "AZURE_RESOURCE_GROUP", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"],
    "kubeconfig": [SECRET],
}


def refuse_incomplete(environment: str, kind: str, variables: dict[str, str]) -> None:
    where = f"the environment {environment}, in the settings on GitHub"
    if kind not in NEEDED:
        raise YourTurn(f"CLUSTER is {kind!r}{settings.did_you_mean(kind, NEEDED)}", f"set it in {where}")
    if missing := [name for name in NEEDED[kind] if not variables.get(name)]:
        raise YourTurn(f"CLUSTER is {kind}, and there is no {', no '.join(missing)}", f"set that in {where}")


def write(kind: str, variables: dict[str, str]) -> None:
    """Writes the kubeconfig. The actions of GKE and AKS have already written one, and set KUBECONFIG."""
    os.umask(0o077)  # it holds credentials
    if kind == "kubeconfig":
        files.write(FILE, variables[SECRET])
    elif kind == "eks":
        _update_by_aws(variables)
    elif kind == "aks":
        files.write(FILE, _with_token_of_az(Path(os.environ["KUBECONFIG"]).read_text()))
    else:
        return
    actions.variable(KUBECONFIG=str(FILE.absolute()))
    console.say(f"  connect    {kind}; export KUBECONFIG={FILE.absolute()}")


def _with_token_of_az(kubeconfig: str) -> str:
    """The kubeconfig with az's token: a cluster with Entra ID would start kubelogin, which fetches the same token."""
    document = YAML(typ="safe").load(kubeconfig)
    strangers = [user for user in document["users"] if user["user"].get("exec", {}).get("command") == "kubelogin"]
    if strangers:
        command = ["az", "account", "get-access-token", "--resource", AKS, "--output", "json"]
        token = json.loads(_output_of(command, "see that azure/login went well"))["accessToken"]
        for user in strangers:
            user["user"] = {"token": token}
    return json.dumps(document)  # which is YAML, too


def _update_by_aws(variables: dict[str, str]) -> None:
    where = ["--name", variables["CLUSTER_NAME"], "--region", variables["CLUSTER_REGION"]]
    command = ["aws", "eks", "update-kubeconfig", *where, "--kubeconfig", str(FILE)]
    _output_of(command, "see that AWS_ROLE may eks:DescribeCluster, and that name and region are right")


def _output_of(command: list[str], remedy: str) -> str:
    done = process.text(command, YourTurn(f"{command[0]} is not installed on this runner", f"install {command[0]}"))
    if done.returncode:
        raise YourTurn(f"{' '.join(command[:3])}: {' '.join(done.stderr.split())}", remedy)
    return done.stdout
