"""The stages of a model, each in a process of its own: check, train, evaluate, export. Nothing here imports TensorFlow."""

import json
import time
from collections.abc import Mapping

from scripts.release import identity, sources
from scripts.release.releases import Release
from scripts.sources import feeding, fetching, pointers
from scripts.training import trainings
from scripts.training.isolation import isolated
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn

AGAIN_SECONDS = 2  # the others have to notice, too


def check(modules: list[str]) -> None:
    """Raises YourTurn, before any training, for models that could not be judged, exported or served."""
    bring(modules)
    refuse_namesakes(modules)
    for module in modules:
        with console.stage("check") as stage:
            stage.result = f"{module}: {rehearse(module)}"


def bring(modules: list[str]) -> None:
    """Brings what the models use from elsewhere; samples that `fetch --sample` put in its place stay."""
    pointers.resolve(modules)
    declared = fetching.of_models(modules)
    if due := {name: source for name, source in declared.items() if name not in sources.sampled()}:
        with console.stage("fetch") as stage:
            stage.result = fetching.fetch(due)
    feeding.serve(fetching.streams(modules))


def refuse_namesakes(modules: list[str]) -> None:
    """Refuses two models of one NAME."""
    names = isolated("models.names", modules)
    for module, name in names.items():
        if other := next((other for other in names if other != module and names[other] == name), None):
            problem = (
                f"model/{module}.py and model/{other}.py are both called {name!r}: one would take the other's place"
            )
            raise YourTurn(problem, f"give model/{other}.py another NAME")


def rehearse(module: str) -> str:
    """Runs every stage with the untrained network, in seconds, and says how far it came. Raises YourTurn."""
    return isolated("rehearsal.rehearse", module)


def train(module: str, quick: bool = False) -> None:
    """Trains; of several workers, again with those that are there once one has gone."""
    with console.stage("train") as stage:
        while not (result := isolated("fitting.train", module, quick)):
            console.say(f"  train      {module}: a worker is gone: all begin again together, from the last backup")
            time.sleep(AGAIN_SECONDS)
        stage.result = result


def evaluate(module: str, environments: Mapping[str, Release | None], modules: list[str]) -> None:
    """Judges a model of the release of `modules`; `environments` holds the release that each serves.

    Raises YourTurn if the model is refused; its training is kept all the same.
    """
    identity.of_release(modules)  # parsed here, for the process of the stage too
    try:
        with console.stage("evaluate") as stage:
            stage.result = isolated("judgement.evaluate", module, modules, dict(environments))
    finally:
        trainings.note(module)


def refuse_lost(modules: list[str], environments: Mapping[str, Release | None]) -> None:
    """Refuses a release of `modules` that lacks a model which an environment serves, unless the settings say that it is retired."""
    serving = {name: release for name, release in environments.items() if release}
    here = isolated("models.served", modules) if serving else []
    for environment, release in serving.items():
        lost = [model["name"] for model in release.models if model["name"] not in here]
        if undeclared := [name for name in lost if name not in settings.read().retired]:
            raise YourTurn(
                f"{environment} serves {', '.join(undeclared)}, of release {release.name}, and this release would not: that breaks clients",
                f"keep it under that NAME, or declare the break: retired = {json.dumps(undeclared)} in [tool.pipeline] of {settings.FILE}",
            )
        if lost:
            console.say(
                f"  evaluate   a declared break with the clients of {environment}: {', '.join(lost)} is retired"
            )


def export(modules: list[str]) -> None:
    feeding.serve(fetching.streams(modules))
    with console.stage("export") as stage:
        stage.result = isolated("exporting.export", modules)
