"""The models of this release, and the files between the stages in build/NAME/."""

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.release import releases
from scripts.workspace import files, settings
from scripts.workspace.errors import YourTurn


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
                "name one of these, or write that file",
            )
    return names


def load(module: str) -> ModuleType:
    """The module `model/MODULE.py`, checked against the contract."""
    import model

    try:
        return model.load(module)
    except model.ContractError as error:
        raise YourTurn(
            str(error), f"edit model/{module}.py (model/__init__.py says what it must define), then ./pipeline train"
        ) from error


def save(network: Any, module: str) -> None:
    """Writes build/MODULE/model/, a folder rather than a .keras file: Keras reads an archive's weights into memory before it loads them."""
    with files.directory(weights(module).parent) as folder:
        network.save(folder, zipped=False)


def network(module: str) -> Any:
    """The trained network, to be asked: without its optimizer, which has two more numbers for each weight."""
    import keras

    return keras.models.load_model(weights(module).parent, compile=False)


def weights(module: str) -> Path:
    return Path("build") / module / "model" / "model.weights.h5"


def record(module: str, file: str, verb: str) -> dict[str, Any]:
    """`build/MODULE/FILE`, which `verb` wrote. Raises YourTurn where it is missing, or of other code or weights than there are now."""
    path = Path("build") / module / file
    try:
        record = json.loads(path.read_text())
        fresh = record["id"] == releases.identity([module]) and record["model"] == files.sha256(weights(module))
    except (OSError, ValueError, KeyError):
        raise YourTurn(f"there is no usable {path}", f"./pipeline {verb}") from None
    if not fresh:
        raise YourTurn(f"{path} is not of the code in model/ as it is now", f"./pipeline {verb}")
    return record
