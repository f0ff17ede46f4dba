"""The environments by name: `local`, and one for each folder of k8s/overlays."""

import argparse
import os

from scripts.environments import cluster, local
from scripts.ledger import overlays
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn


def names() -> list[str]:
    return ["local", *overlays.names()]


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="local, or a folder of k8s/overlays")


def add_overlay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="a folder of k8s/overlays")


def find(name: str) -> local.Local | cluster.Cluster:
    settings.refuse_unknown("environment", name, names())
    return local.read() if name == "local" else cluster.Cluster(name, settings.read().context(name))


def reachable(name: str) -> local.Local | cluster.Cluster | None:
    """The environment if it is configured; else None, after a line that says which setting is missing."""
    target = find(name)
    if name == "local" or _is_configured(name):
        return target
    console.say(f"  skipped    no cluster is configured for {name}: set {_setting(name)}")
    return None


def reachable_cluster(name: str) -> cluster.Cluster | None:
    """As reachable(), of an overlay alone."""
    overlays.check(name)
    return with_cluster(name) if reachable(name) else None


def with_cluster(name: str) -> cluster.Cluster:
    """The environment's cluster. Raises YourTurn where there is none."""
    target = find(name)
    if isinstance(target, local.Local):
        raise YourTurn("local is this computer, and no cluster", "name a folder of k8s/overlays")
    if not _is_configured(name):
        raise YourTurn(f"no cluster is configured for {name}", f"set {_setting(name)}")
    return target


def _is_configured(name: str) -> bool:
    return bool(settings.read().context(name) or os.environ.get("KUBECONFIG"))


def _setting(name: str) -> str:
    return f"context of {name} in [tool.pipeline.environments] of pyproject.toml, or KUBECONFIG"
