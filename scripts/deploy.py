"""Deploys to ENV what its overlay says, verifies it, and puts the release before it back if it fails

`local` takes the newest export. An environment of k8s/overlays takes what is committed there: the changes are tried and shown, applied,
waited for with the reason if a pod cannot start, and verified on every pod. What is not rendered any more is then pruned.
"""

import argparse

from scripts.environments import deployment, lookup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--override", metavar="REASON", default="", help="while ENV is closed: why all the same")
    parser.add_argument(
        "--without-return", action="store_true", help="although what serves now could not be put back, or should not be"
    )


def run(environment: str, override: str, without_return: bool) -> int:
    deployment.deploy(environment, override, without_return)
    return 0
