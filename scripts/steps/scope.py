"""What a change since --since REVISION reaches: the release that it would make, and the template itself, whose tests are then due

Outputs `release` and `template`, true or false. A fork owns its models, overlays, pages and settings; everything else is the
template's. If the changes cannot be determined, both are true.
"""

import argparse
import contextlib
import io
import re
import tarfile
import tempfile
import tomllib

from scripts.release import identity
from scripts.workspace import actions, console, git, settings
from scripts.workspace.errors import YourTurn

OWN = re.compile(r"(model|k8s/overlays|docs)/.+|[^/]+\.md|\.github/CODEOWNERS")
CONTRACT = "model/__init__.py"  # defines the contract of a model: the template's file
SETTINGS = "pyproject.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="REVISION", default="", help="where it left main")


def run(since: str) -> int:
    base = git.text("merge-base", since, "HEAD") if since and git.exists(since) else ""
    release, template = (changes_release(base), _changes_template(base)) if base else (True, True)
    reached = [name for name, due in (("the release", release), ("the template", template)) if due]
    console.say(f"  scope      {' and '.join(reached) or 'neither the release nor the template'}")
    actions.output(release=str(release).lower(), template=str(template).lower())
    return 0


def changes_release(base: str) -> bool:
    """Whether this checkout would make another release than `base`, by what decides its answers."""
    here = _identity()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(git.git("archive", base))) as tar:
            tar.extractall(folder, filter="data")
        with contextlib.chdir(folder):
            return here is None or _identity() != here


def _identity() -> str | None:
    """The identity of the release that this folder would make; None if its models cannot be read: training says why."""
    try:
        return identity.of_release(settings.read().models)
    except (YourTurn, OSError, SyntaxError):
        return None


def _changes_template(base: str) -> bool:
    changed = git.paths("diff", "--name-only", "--no-renames", "-z", base, "HEAD")
    others = [path for path in changed if path == CONTRACT or not OWN.fullmatch(path)]
    return any(path != SETTINGS or _beside_settings(base) != _beside_settings("HEAD") for path in others)


def _beside_settings(revision: str) -> dict:
    """pyproject.toml without [tool.pipeline]."""
    document = tomllib.loads((git.show(revision, SETTINGS) or b"").decode())
    document.get("tool", {}).pop("pipeline", None)
    return document
