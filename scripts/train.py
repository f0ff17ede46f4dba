"""Trains each model: model/NAME.py -> build/NAME/model/ and history.json; first checks all that can be checked untrained"""

from scripts.training import models, stages
from scripts.workspace import console

NEEDS = "train"

add_arguments = models.add_argument


def run(model: list[str] | None) -> int:
    modules = models.chosen(model)
    stages.check(modules)
    for module in modules:
        stages.train(module)
    console.say("next: ./pipeline evaluate")
    return 0
