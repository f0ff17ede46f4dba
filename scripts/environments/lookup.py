"""The environments by name: `local`, and one for each folder of k8s/overlays."""

import argparse
import os

from scripts.environments import cluster, local
from scripts.ledger import overlays
from scripts.workspace import console, settings


def names() -> list[str]:
    return ["local", *overlays.names()]


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="local, or a folder of k8s/overlays")


def find(name: str) -> local.Local | cluster.Cluster:
    settings.refuse_unknown("environment", name, names())
    return local.read() if name == "local" else cluster.Cluster(name, settings.read().context(name))


def reachable(name: str) -> local.Local | cluster.Cluster | None:
    """The environment if it is configured; else None, after a line that says which setting is missing."""
    target = find(name)
    if name == "local" or settings.read().context(name) or os.environ.get("KUBECONFIG"):
        return target
    setting = f"context of {name} in [tool.pipeline.environments] of pyproject.toml, or KUBECONFIG"
    console.say(f"  skipped    no cluster is configured for {name}: set {setting}")
    return None
