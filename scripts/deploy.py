"""Deploys to ENV what its overlay says, verifies it, and puts the release before it back if it fails

`local` takes the newest export. An environment of k8s/overlays takes what is committed there: the changes are tried, shown and applied, and
every pod is verified; first those of a canary, where pyproject.toml sets one. If a pod cannot start, the verb says why. Objects that are
not rendered any more are pruned last.
"""

import argparse

from scripts.environments import deployment, lookup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--override", metavar="REASON", default="", help="while ENV is closed: why all the same")
    parser.add_argument(
        "--without-return",
        action="store_true",
        help="although what serves now could not be put back, or should not be; without a canary",
    )


def run(environment: str, override: str, without_return: bool) -> int:
    deployment.deploy(environment, override, without_return)
    return 0
