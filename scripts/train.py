"""Trains each model: model/NAME.py -> build/NAME/model/ and history.json; first checks all that can be checked untrained

With --on ENV it is trained by Jobs in the cluster of ENV, and comes to the same place. The same command again, from here or from another
computer, finds a training that is under way and goes on with it.
"""

import argparse
from contextlib import nullcontext

from scripts.environments import lookup, trainings, trainjobs
from scripts.release import trainer
from scripts.release.registry import Repository
from scripts.training import models, shipping, stages, workers
from scripts.workspace import actions, console, settings
from scripts.workspace.errors import YourTurn

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="by quick() where a model defines it, for the check of a pull request: no release is made of that",
    )
    parser.add_argument("--on", metavar="ENV", help="in the cluster of ENV, as [tool.pipeline.training] says")
    parser.add_argument(
        "--print",
        dest="form",
        choices=["job", "trainjob"],
        help="with --on, make nothing there: print the Job, or for Kubeflow Trainer the TrainJob; their image is pushed",
    )
    parser.add_argument("--cancel", action="store_true", help="end the training that is under way on ENV")
    parser.add_argument(
        "--to",
        metavar="REGISTRY/NAME",
        help="push what was trained there, too, as an artifact whose digest is told; and backups on the way, to go on from",
    )
    parser.add_argument(
        "--trained",
        metavar="NAME[@DIGEST],…",
        default="",
        help="take these from the registry, where they were trained elsewhere of this very code; train the others",
    )


def run(
    model: list[str] | None,
    quick: bool,
    on: str | None,
    form: str | None,
    cancel: bool,
    to: str | None,
    trained: str,
) -> int:
    modules = models.chosen(model)
    if cancel and not on:
        raise YourTurn("--cancel ends a training in a cluster, and none is named", "./pipeline train --on ENV --cancel")
    if to and "/" not in to:
        raise YourTurn(f"--to {to} names no registry", f"./pipeline train --to REGISTRY/{to}")
    if form:
        if not on:
            raise YourTurn(
                "--print is of a training in a cluster, and none is named", "./pipeline train --on ENV --print job"
            )
        console.tell(trainjobs.printed(lookup.with_cluster(on), modules, quick, form))
        return 0
    if on:
        trainings.run(lookup.with_cluster(on), modules, quick, cancel)
    elif rest := _without(modules, trained, quick):
        _train(rest, quick, Repository(to) if to else None)
    if (
        quick
        and not cancel
        and any(models.record(module, "history.json", "train", quick=True)["quick"] for module in modules)
    ):
        actions.output(quick="true")
        text = "A quick training, judged by QUICK_GATES: the workflow `release` trains in full, and judges by GATES."
        actions.annotate("notice", text)
        console.say(f"  note       {text}")
    if not cancel and not to:
        console.say("next: ./pipeline evaluate")
    return 0


def _without(modules: list[str], trained: str, quick: bool) -> list[str]:
    """Brings those that were trained elsewhere. Returns the others."""
    taken = dict(name.partition("@")[::2] for name in filter(None, trained.split(",")))
    for module, digest in taken.items():
        settings.refuse_unknown("model", module, modules)
        with console.stage("train") as stage:
            reference, place = digest or shipping.tag(module, quick), Repository(trainer.repository())
            shipping.bring(module, place, reference)
            stage.result = f"{module}: trained elsewhere, and brought from {place.name} as {reference}"
    return [module for module in modules if module not in taken]


def _train(modules: list[str], quick: bool, to: Repository | None) -> None:
    stages.check(modules)
    for module in modules:
        if workers.here().index:
            stages.train(module, quick)
            while to:  # until its Job is done: the first worker may be ended before it has pushed, and then needs this one again
                stages.train(module, quick)
            continue
        with shipping.backed_up(module, to) if to and not quick else nullcontext():
            stages.train(module, quick)
            if to:
                with console.stage("push") as stage:
                    stage.result = place = f"{to.name}@{shipping.send(module, to)}"
                console.tell(place)
