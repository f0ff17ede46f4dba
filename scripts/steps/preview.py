"""The candidate of a pull request in a namespace of its own, preview-NUMBER; --sweep removes those whose pull request is closed

The manifests are those of the first environment as this checkout has them, without the routes from outside; the image is the one that
`push --preview` brought to the registry; every pod is verified. KUBECONFIG says which cluster.
"""

import argparse
import os

from scripts.environments import delivery, previews
from scripts.workspace import actions, console
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", type=int, metavar="NUMBER", help="of the pull request")
    parser.add_argument("--sweep", action="store_true", help="remove the previews of closed pull requests")


def run(number: int | None, sweep: bool) -> int:
    if (number is None) != sweep:
        raise YourTurn("preview takes the number of a pull request, or --sweep", "./pipeline preview --help")
    if not os.environ.get("KUBECONFIG"):
        console.say(
            "  skipped    no cluster is configured for previews: set the variable CLUSTER of the environment preview"
        )
        return 0
    if number is None:
        removed = list(previews.sweep())
        console.say(f"  preview    removed: {', '.join(removed) or 'none, every one belongs to an open pull request'}")
        return 0
    return _deploy(previews.Preview(number))


def _deploy(preview: previews.Preview) -> int:
    candidate = preview.candidate()
    preview.prepare(candidate)
    preview.create()
    with preview.exclusively("preview"):
        delivery.deliver(preview, candidate, "deploy", "")
    ask = f"kubectl --namespace {preview.namespace} port-forward service/serving 8501"
    console.say(f"next: {ask}")
    actions.summary(
        f"Release `{candidate.release.name}` serves in namespace `{preview.namespace}`, verified. Ask it: `{ask}`"
    )
    return 0
