"""Adds packages that the files in model/ import: to pyproject.toml, and to the locks: ./pipeline add pandas "pyarrow<22" """

import argparse

from scripts.workspace import console, dependencies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="a name, with a version where one is needed")


def run(packages: list[str]) -> int:
    with console.stage("add") as stage:
        stage.result = ", ".join(dependencies.add(packages)) or "was locked already"
    console.say("next: git add pyproject.toml requirements, and commit them with the model that needs it")
    return 0
