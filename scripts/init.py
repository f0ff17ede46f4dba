"""Sets the few settings that a fork may want, in pyproject.toml; without options it asks. Nothing needs it, twice changes nothing

Only the values change: comments, order and every other line stay. The verb sets the models of a release, the place of its image, and the
cluster of each environment; every other setting has a default there, with a comment.
"""

import argparse
import codecs
import difflib
import re
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import tomlkit
import tomlkit.exceptions

from scripts.ledger import overlays
from scripts.release import images
from scripts.training import models
from scripts.workspace import console, files, settings
from scripts.workspace.errors import YourTurn
from scripts.workspace.settings import Settings

IMAGE = re.compile(
    r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+"
)  # an image's name by the distribution specification, with a registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="NAME", action="append", help="what a release serves: a file in model/; may be repeated"
    )
    parser.add_argument("--image", metavar="NAME", help="REGISTRY/NAME of the image; '' for ghcr.io/OWNER/REPOSITORY")
    parser.add_argument(
        "--context",
        metavar="ENV=NAME",
        action="append",
        help="kubectl's name of the cluster of ENV, for deployments from here; may be repeated",
    )


def run(model: list[str] | None, image: str | None, context: list[str] | None) -> int:
    present = settings.read()
    if model is None and image is None and context is None:
        if not sys.stdin.isatty():
            raise YourTurn("init asks, and nobody is at the terminal", "./pipeline init --help names its options")
        model, image, contexts = _ask(present)
    else:
        contexts = dict(_pair(text) for text in context or [])
    before = settings.text()
    after = _with(before, _checked(present, model, image, contexts))
    if after == before:
        console.say(f"  init       {settings.FILE} says that already: nothing changed")
        return 0
    mark = settings.FILE.read_bytes()[: len(codecs.BOM_UTF8)]
    files.write(settings.FILE, (mark if mark == codecs.BOM_UTF8 else b"") + after.encode())
    for line in difflib.ndiff(before.splitlines(), after.splitlines()):
        if line.startswith("+ ") and line[2:].strip():
            console.say(f"  init       {line[2:].strip()}")
    console.say(f"next: git commit -m 'Settings' {settings.FILE}, then ./pipeline doctor")
    return 0


def _ask(present: Settings) -> tuple[list[str], str, dict[str, str]]:
    """Asks for each setting; Enter keeps the present value."""
    console.say("Enter keeps what stands in brackets.")
    models = _answer("models, by spaces", " ".join(present.models)).split()
    image = _answer(f"image (empty: {images.name()})" if not present.image else "image", present.image)
    names = overlays.names()
    return models, image, {name: _answer(f"kubectl's context of {name}", present.context(name)) for name in names}


def _answer(question: str, current: str) -> str:
    print(f"{question} [{current}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or current


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise YourTurn(
            f"--context {text}: that is no ENV=NAME", "--context dev=NAME; kubectl config get-contexts lists them"
        )
    return name, value


def _checked(
    present: Settings, model: list[str] | None, image: str | None, contexts: dict[str, str]
) -> Callable[[Any], None]:
    """The settings to write, validated on the parsed table. Raises YourTurn for a value that no verb could use."""
    if model:
        models.chosen(model)
    if image and not IMAGE.fullmatch(image):
        problem = f"{image!r} is no image: REGISTRY/NAME, in lower case and without a tag"
        raise YourTurn(problem, "./pipeline init --image registry.example.com/team/name")
    for name in contexts:
        overlays.check(name)

    def set_all(table: Any) -> None:
        if model and model != present.models:
            table["models"] = model
        if image is not None and image != present.image:
            table["image"] = image
        for name, value in contexts.items():
            if value != present.context(name):
                table.setdefault("environments", {}).setdefault(name, tomlkit.inline_table())["context"] = value

    return set_all


def _with(text: str, set_all: Callable[[Any], None]) -> str:
    """`text` with the settings in it. Raises YourTurn for a form of TOML in which they cannot be set without changing anything else."""
    wanted = tomllib.loads(text)
    set_all(wanted["tool"]["pipeline"])
    try:
        document = tomlkit.parse(text)
        kept = tomlkit.dumps(document) == text
        set_all(document["tool"]["pipeline"])
        after = _with_line_ends(tomlkit.dumps(document), text)
        good = kept and tomllib.loads(after) == wanted
    except (tomlkit.exceptions.TOMLKitError, tomllib.TOMLDecodeError):
        good = False
    if not good:
        problem = f"{settings.FILE} has a form in which these settings cannot be set without changing anything else"
        raise YourTurn(problem, f"edit {settings.FILE}: give them a table of their own, [tool.pipeline]")
    return after


def _with_line_ends(after: str, before: str) -> str:
    """The lines that are new end in CRLF where the lines around them do."""
    ends = re.findall("\r?\n", before)
    missing = ends[-1] if ends and not before.endswith("\n") else ""  # of the last line, which another may follow now
    lent = missing if not after.endswith("\n") else ""
    old, new = (before + missing).split("\n"), (after + lent).split("\n")
    for _, start, stop, first, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if all(line.endswith("\r") for line in old[max(start - 1, 0) : stop]):
            new[first:end] = [line.removesuffix("\r") + "\r" for line in new[first:end]]
    return "\n".join(new).removesuffix(lent)
