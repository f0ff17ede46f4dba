"""Pushes the tested image to the registry and writes its digest into release.json; twice is a no-op

The LiteRT files are pushed as well, each as an artifact of its own, and so are the models if they are a volume.
"""

import argparse

from scripts.release import pushing, releases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dirty", action="store_true", help="also a release whose commit does not hold all that it was made of"
    )
    parser.add_argument(
        "--preview", action="store_true", help="to a repository beside it, NAME-preview: no release can come from there"
    )


def run(dirty: bool, preview: bool) -> int:
    pushing.push(releases.read(), dirty, preview)
    return 0
