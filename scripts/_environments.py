"""The environments by name: `local`, and one for each folder of k8s/overlays."""

import argparse
import os

from scripts import _cluster, _console, _local, _overlay, _settings
from scripts._errors import YourTurn


def names() -> list[str]:
    """In the order of promotion, which the settings say."""
    order = list(_settings.read().environments)
    return ["local", *sorted(_overlay.names(), key=lambda name: order.index(name) if name in order else len(order))]


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="local, or a folder of k8s/overlays")


def check(name: str, known: list[str]) -> None:
    if name not in known:
        raise YourTurn(f"no environment {name!r}{_settings.did_you_mean(name, known)}", "name one of these")


def find(name: str) -> _local.Local | _cluster.Cluster:
    check(name, names())
    return _local.read() if name == "local" else _cluster.Cluster(name, _settings.read().context(name))


def reachable(name: str) -> _local.Local | _cluster.Cluster | None:
    """The environment if it is configured; else None, once it has been said which setting is missing."""
    target = find(name)
    if name == "local" or _settings.read().context(name) or os.environ.get("KUBECONFIG"):
        return target
    setting = f"context of {name} in [tool.pipeline.environments] of pyproject.toml, or KUBECONFIG"
    _console.say(f"  skipped    no cluster is configured for {name}: set {setting}")
    return None
