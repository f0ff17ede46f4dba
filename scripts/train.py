"""Trains each model: model/NAME.py -> build/NAME/model/ and history.json; first checks all that can be checked untrained"""

import argparse

from scripts.training import models, stages
from scripts.workspace import actions, console

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="by quick() where a model defines it, for the check of a pull request: no release is made of that",
    )


def run(model: list[str] | None, quick: bool) -> int:
    modules = models.chosen(model)
    stages.check(modules)
    for module in modules:
        stages.train(module, quick)
    if quick and any(models.record(module, "history.json", "train", quick=True)["quick"] for module in modules):
        actions.output(quick="true")
        text = "A quick training, judged by QUICK_GATES: the workflow `release` trains in full, and judges by GATES."
        actions.annotate("notice", text)
        console.say(f"  note       {text}")
    console.say("next: ./pipeline evaluate")
    return 0
