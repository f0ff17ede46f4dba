"""The models of this release, and the files between the stages in build/NAME/."""

import argparse
import hashlib
import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.release import identity
from scripts.release.identity import Parts
from scripts.training import faults
from scripts.workspace import files, settings
from scripts.workspace.errors import YourTurn

CHECKPOINT = "checkpoint"  # the name of the files of a network that Keras cannot save


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        help="a file in model/, in place of those in pyproject.toml; may be repeated",
    )


def chosen(names: list[str] | None) -> list[str]:
    """`names`, or those of the settings; each must have a file."""
    known = [path.stem for path in sorted(Path("model").glob("[!_]*.py"))]
    names = names or settings.read().models
    for name in names:
        if name not in known:
            raise YourTurn(
                f"no model {name!r} in model/{settings.did_you_mean(name, known)}",
                "name a file that is there, or write that one",
            )
    return list(dict.fromkeys(names))


def load(module: str) -> ModuleType:
    """The module `model/MODULE.py`, checked against the contract. Raises YourTurn."""
    import model

    try:
        return model.load(module)
    except model.ContractError as error:
        file, package = f"model/{module}.py", faults.missing(error.__cause__)
        remedy = f"edit {file} (model/__init__.py says what it must define), then ./pipeline up"
        if package:
            remedy = faults.add(package, file)
        raise YourTurn(str(error), remedy) from error


def names(modules: list[str]) -> dict[str, str]:
    """The served name of each model, by module."""
    return {module: load(module).NAME for module in modules}


def served(modules: list[str]) -> list[str]:
    """The names of all that a release of `modules` serves: each model, and its compressed form."""
    return [
        name
        for model in map(load, modules)
        for name in (model.NAME, *(f"{model.NAME}_{v.technique}" for v in model.VARIANTS if v.technique != "litert"))
    ]


@contextmanager
def for_keras(folder: Path) -> Generator[Path]:
    """`folder`, as Keras can read and fill it: a backslash in its path would be a separator to Keras, and part of the files elsewhere."""
    if "\\" not in str(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        folder.mkdir(exist_ok=True)
        shutil.copytree(folder, place, dirs_exist_ok=True)
        yield Path(place)
        for path in Path(place).iterdir():
            if not (folder / path.name).exists():
                shutil.move(path, folder)


def folder(module: str) -> Path:
    return Path("build") / module


def state(module: str) -> Path:
    """The folder of the trained network, saved by Keras or as a checkpoint; empty if nothing was trained."""
    return folder(module) / "model"


def backup(module: str) -> Path:
    """The folder of the backups of a training of the present code."""
    return folder(module) / "backup" / identity.of_model(module).trained[:12]


UNDECIDED = ["metadata.json", "config.json"]  # in which Keras says when it wrote, and what the model file says, too


def digest(module: str) -> str:
    """SHA-256 of the trained network's files."""
    weights = {name: value for name, value in files.hashes(state(module)).items() if name not in UNDECIDED}
    return hashlib.sha256(json.dumps(weights).encode()).hexdigest()


def record(module: str, file: str, verb: str, quick: bool = False) -> dict[str, Any]:
    """The content of `build/MODULE/FILE`, written by `verb`. Raises YourTurn if it is missing, or code or weights have changed since.

    It is never of a quick training, unless the caller takes one.
    """
    path = folder(module) / file
    try:
        record = json.loads(path.read_text())
        changed = identity.differences(record["parts"], parts(module, file))
        fresh = record["model"] == digest(module)
    except (OSError, ValueError, KeyError):
        raise YourTurn(f"there is no usable {path}", f"./pipeline {verb}") from None
    if changed or not fresh:
        what = f"{', '.join(changed)} changed since" if changed else "the weights beside it are others"
        raise YourTurn(f"{path} is not of model/ as it is now: {what}", f"./pipeline {verb}")
    if record.get("quick") and not quick:
        raise YourTurn(f"{path} is of a quick training, of which no release is made", "./pipeline train")
    return record


def parts(module: str, file: str) -> Parts:
    """The parts that decide `build/MODULE/FILE`: the weights' identity for a training, also the judging's for any other file."""
    now = identity.of_model(module)
    return now.weights if file == "history.json" else now.weights | now.judging
