"""Writes the release: build/release/models/NAME/VERSION/ for TensorFlow Serving, and build/release/release.json"""

from scripts.training import models, stages
from scripts.workspace import console

NEEDS = "train"

add_arguments = models.add_argument


def run(model: list[str] | None) -> int:
    stages.export(models.chosen(model))
    console.say("next: ./pipeline deploy local")
    return 0
