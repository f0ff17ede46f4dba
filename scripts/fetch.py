"""Brings data and weights from elsewhere: what model/sources.json notes of each model's SOURCES -> the files that path() gives

With --update it notes what lies there now: commit model/sources.json with it, since other data are another release.
"""

import argparse

from scripts.release import sources
from scripts.release.sources import LOCK
from scripts.sources import cache, fetching, pointers
from scripts.training import models
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn

NEEDS = "train"  # the packages that read a cloud's storage are the fork's own: ./pipeline add s3fs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--update", nargs="*", metavar="SOURCE", help="note what lies in these sources now; without a name: in all"
    )
    way.add_argument(
        "--sample",
        action="store_true",
        help="put the samples that models declare in the place of what may not be read here",
    )
    way.add_argument(
        "--prune", type=float, metavar="GB", help="first remove what was least recently used, until so much is left"
    )


def run(model: list[str] | None, update: list[str] | None, sample: bool, prune: float | None) -> int:
    modules = models.chosen(model)
    declared = fetching.of_models(modules)
    if prune is not None:
        _prune(prune)
    pointers.resolve(modules)
    if not declared:
        console.say("  skipped    no model of the release names SOURCES; --model asks for another one")
        return 0
    for name in update or []:
        if name not in declared:
            raise YourTurn(
                f"no model names a source {name!r}{settings.did_you_mean(name, declared)}", "name one of these"
            )
    noted = {}
    if update is not None:
        noted = fetching.update({name: source for name, source in declared.items() if name in update or not update})
    for name, what in noted.items():
        console.say(f"  noted      {name}: {what}")
    with console.stage("fetch") as stage:
        stage.result = fetching.sample(declared) if sample else fetching.fetch(declared)
    if set(noted.values()) - {fetching.AS_IT_WAS}:
        console.say(f"next: git add {LOCK}, and commit it: other data are another release")
    return 0


def _prune(gigabytes: float) -> None:
    removed, left = cache.prune(sources.locked().values(), int(gigabytes * 1e9))
    console.say(f"  pruned     {removed} files; {left / 1e9:.1f} GB are left in {cache.folder()}")
