"""Judges each candidate on held-out data: metrics against gates -> build/NAME/evaluation.json and a model card; refuses by exit 1"""

import argparse

from scripts.environments import lookup
from scripts.release import served
from scripts.release.releases import Release
from scripts.training import models, stages
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "--against",
        metavar="ENV",
        action="append",
        help="refuse what is worse than the release that ENV serves now, or breaks its clients; may be repeated",
    )


def run(model: list[str] | None, against: list[str] | None) -> int:
    releases, refused = {name: _read_served(name) for name in against or []}, []
    modules = models.chosen(model)
    stages.bring(modules)
    if not model:  # the whole release is judged, and not some of its models
        stages.refuse_lost(modules, releases)
    for module in modules:
        try:
            stages.evaluate(module, releases, modules)
        except YourTurn as error:  # the other models' tables are worth seeing too
            refused.append(error)
    if refused:
        raise YourTurn("; ".join(error.problem for error in refused), refused[0].remedy)
    console.say("next: ./pipeline export")
    return 0


def _read_served(environment: str) -> Release | None:
    """The release in the ledger of `environment`, with its files. Raises YourTurn if they are not available."""
    target = lookup.find(environment)
    label = target.ledger()
    return served.with_models(target.find(label).release) if label else None
