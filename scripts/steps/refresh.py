"""Brings the data of each model up to date, by its SOURCES and its own refresh(), and says whether anything changed -> build/refresh.patch

The same code on the same data makes the same release, so new data needs a commit: a pull request proposes it, as any change. refresh() may
bring data, not code: it must not change a file that ends in .py.
"""

import argparse

from scripts.sources import fetching
from scripts.steps import PATCH
from scripts.training import models
from scripts.workspace import actions, checkout, commits, console, files, git
from scripts.workspace.errors import YourTurn

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)


def run(model: list[str] | None) -> int:
    if checkout.read().dirty:
        raise YourTurn("the tree holds changes that are not committed: they would be taken for new data", "git stash")
    chosen = models.chosen(model)
    loaded, declared = {name: models.load(name) for name in chosen}, fetching.of_models(chosen)
    refreshing = {name: module.refresh for name, module in loaded.items() if module.refresh}
    if not refreshing and not declared:
        console.say(
            "  skipped    no model has SOURCES or refresh(), so there is no new data, and the same data makes the same release"
        )
    if declared:
        with console.stage("refresh") as stage:
            new = [name for name, what in fetching.update(declared).items() if what != fetching.AS_IT_WAS]
            stage.result = f"changed: {', '.join(new)}" if new else "the sources are as they were"
    for name, refresh in refreshing.items():
        with console.stage("refresh") as stage:
            refresh()
            stage.result = name
    changed = _changed()
    files.write(PATCH, _patch() if changed else b"")
    console.say(f"  refresh    {', '.join(changed)}" if changed else "  refresh    nothing changed")
    actions.output(changed="true" if changed else "false")
    return 0


def _changed() -> list[str]:
    """Names of the files that differ from HEAD. Raises YourTurn for any that is not data."""
    paths = checkout.changes()
    if code := [path for path in paths if not path.startswith("model/") or path.endswith(".py")]:
        problem = f"refresh() changed {', '.join(code)}: it may bring data below model/, and no code"
        raise YourTurn(problem, "git checkout -- . && git clean -d model, then mend refresh()")
    return paths


def _patch() -> bytes:
    """The patch of all changes, new files included; binary files are encoded as text."""
    with commits.index_of("HEAD") as index:
        git.git("add", "--all", "--", "model", index=index)
        return git.git("diff-index", "--cached", "--binary", "--full-index", "-p", "HEAD", index=index)
