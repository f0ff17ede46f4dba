"""Turns the variables of ENV into a kubeconfig: CLUSTER and what belongs to it -> build/kubeconfig, and KUBECONFIG for later steps

The variables come as JSON in VARIABLES, the text of a kubeconfig in KUBECONFIG_TEXT. CLUSTER is eks, gke, aks or kubeconfig; empty, there
is no cluster: a state, not an error. The clouds' own actions log in; this says before they run what is missing (--check), and then
writes the file where they have no action for it.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from scripts import _console, _environments, _files, _github, _settings
from scripts._errors import YourTurn

FILE = Path("build/kubeconfig")
SECRET = "secret KUBECONFIG"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"  # what Entra ID calls the API server of every cluster of AKS
NEEDED = {  # CLUSTER: the variables beside it
    "eks": ["CLUSTER_NAME", "CLUSTER_REGION", "AWS_ROLE"],
    "gke": ["CLUSTER_NAME", "CLUSTER_REGION", "GCP_PROJECT", "GCP_WORKLOAD_IDENTITY_PROVIDER"],
    "aks": ["CLUSTER_NAME", "AZURE_RESOURCE_GROUP", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"],
    "kubeconfig": [SECRET],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="a folder of k8s/overlays, or preview")
    parser.add_argument("--check", action="store_true", help="only say what is missing")


def run(environment: str, check: bool) -> int:
    _environments.check(environment, [*_environments.names()[1:], "preview"])
    variables = json.loads(os.environ.get("VARIABLES") or "{}") | {SECRET: os.environ.get("KUBECONFIG_TEXT")}
    kind = variables.get("CLUSTER")
    if not kind:
        text = f"{environment} has no cluster: set the variable CLUSTER of the environment {environment} in the settings on GitHub"
        _console.say(f"  skipped    {text}")
        _github.annotate("notice", text)
        return 0
    _refuse_incomplete(environment, kind, variables)
    if check:
        _github.output(cluster=kind)
    else:
        _write(kind, variables)
    return 0


def _refuse_incomplete(environment: str, kind: str, variables: dict[str, str]) -> None:
    where = f"the environment {environment}, in the settings on GitHub"
    if kind not in NEEDED:
        raise YourTurn(f"CLUSTER is {kind!r}{_settings.did_you_mean(kind, NEEDED)}", f"set it in {where}")
    if missing := [name for name in NEEDED[kind] if not variables.get(name)]:
        raise YourTurn(f"CLUSTER is {kind}, and there is no {', no '.join(missing)}", f"set that in {where}")


def _write(kind: str, variables: dict[str, str]) -> None:
    """The actions of GKE and AKS have written theirs by now, and set KUBECONFIG."""
    os.umask(0o077)  # it holds credentials
    if kind == "kubeconfig":
        _files.write(FILE, variables[SECRET])
    elif kind == "eks":
        _update_by_aws(variables)
    elif kind == "aks":
        _files.write(FILE, _with_token_of_az(Path(os.environ["KUBECONFIG"]).read_text()))
    else:
        return
    _github.variable(KUBECONFIG=str(FILE.absolute()))
    _console.say(f"  connect    {kind}; export KUBECONFIG={FILE.absolute()}")


def _with_token_of_az(kubeconfig: str) -> str:
    """A cluster that asks Entra ID has a kubeconfig that starts kubelogin; the token that it would fetch, az has as well."""
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
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise YourTurn(f"{command[0]} is not installed on this runner", f"install {command[0]}") from None
    if done.returncode:
        raise YourTurn(f"{' '.join(command[:3])}: {' '.join(done.stderr.split())}", remedy)
    return done.stdout
