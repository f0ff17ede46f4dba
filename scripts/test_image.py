"""Tests the image as it would run in production, under the same restrictions: answers, limits, shutdown"""

import argparse

from scripts.release import acceptance, engine, releases
from scripts.workspace import console

NEEDS = "dev"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", metavar="REFERENCE", help="another image than that of the newest release")


def run(image: str | None) -> int:
    engine.client()
    if image:
        console.tell(acceptance.ask(image))
        return 0
    acceptance.test(releases.read())
    console.say("next: ./pipeline push")
    return 0
