"""Turns the variables of ENV into a kubeconfig: CLUSTER and what belongs to it -> build/kubeconfig, and KUBECONFIG for later steps

The variables come as JSON in VARIABLES, the text of a kubeconfig in KUBECONFIG_TEXT. CLUSTER is eks, gke, aks or kubeconfig; an
empty CLUSTER means no cluster, and is not an error. The clouds' own actions log in. Before them, --check names the missing variables; after
them, this step writes the file if they have no action for it.
"""

import argparse
import json
import os

from scripts.environments import connection
from scripts.ledger import overlays
from scripts.workspace import actions, console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="a folder of k8s/overlays, or preview")
    parser.add_argument("--check", action="store_true", help="only say what is missing")


def run(environment: str, check: bool) -> int:
    overlays.check(environment, "preview")
    variables = json.loads(os.environ.get("VARIABLES") or "{}") | {connection.SECRET: os.environ.get("KUBECONFIG_TEXT")}
    kind = variables.get("CLUSTER")
    if not kind:
        text = f"{environment} has no cluster: set the variable CLUSTER of the environment {environment} in the settings on GitHub"
        console.say(f"  skipped    {text}")
        actions.annotate("notice", text)
        return 0
    connection.refuse_incomplete(environment, kind, variables)
    if check:
        actions.output(cluster=kind)
    else:
        connection.write(kind, variables)
    return 0
