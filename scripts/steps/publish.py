"""Brings to origin what the ledger's commits here say: what a rollback, or a deployment that failed, has corrected

The commits go on top of what others have pushed meanwhile, or into a pull request if origin's branch is protected. Twice is a no-op.
With --verified it records in their place, on the branch verified/ENV, that ENV was verified to serve what is checked out.
"""

import argparse

from scripts.ledger import overlays, publication, verified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verified", dest="environment", metavar="ENV", help="record when this environment was verified"
    )


def run(environment: str | None) -> int:
    if environment:
        overlays.check(environment)
        verified.note(environment)
    else:
        publication.publish()
    return 0
