"""Trains each model: model/NAME.py -> build/NAME/model/ and history.json"""

from scripts.training import fitting, models
from scripts.workspace import console

NEEDS = "train"

add_arguments = models.add_argument


def run(model: list[str] | None) -> int:
    for module in models.chosen(model):
        with console.stage("train") as stage:
            stage.result = fitting.train(module)
    console.say("next: ./pipeline evaluate")
    return 0
