"""A mistake in a model file, told as its author's: the file, the line, the words."""

from __future__ import annotations

import importlib.util
import os
import re
import traceback
from types import ModuleType

from scripts.workspace.errors import YourTurn

FRAME = re.compile(rf'File "(?:{re.escape(os.getcwd())}/)?(model/[^"\n]+\.py)", line (\d+)(?:,? in (\S+))?')
PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml"}  # of imports


def mistake(model: ModuleType, problem: str) -> YourTurn:
    """That `model`, a model file, does not keep the contract."""
    file = f"{model.__name__.replace('.', '/')}.py"
    return YourTurn(f"{file}: {problem}", f"edit {file}, then ./pipeline up, which trains only what has to be")


def missing(error: BaseException | None) -> str | None:
    """The package that an import did not find, as `./pipeline add` takes it; None for any other error."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not name or name in ("model", "scripts") or importlib.util.find_spec(name):
        return None
    return PACKAGES.get(name, name)


def told(error: BaseException) -> YourTurn | None:
    """The error as the model file's own, if its traceback passes through model/, in this process or in one that it came from."""
    if isinstance(error, SyntaxError) and os.path.relpath(error.filename or "").startswith("model/"):
        file = os.path.relpath(error.filename or "")
        return YourTurn(f"{file}, line {error.lineno}: {error.msg}", f"edit {file}, then the same command again")
    text = "".join(traceback.format_exception(error))
    frames = [match for match in FRAME.finditer(text) if match[1] != "model/__init__.py"]
    if not frames:
        return None
    file, line, _ = _innermost(error, frames).groups()
    words = _words(error)
    shown = "\n".join(f"    {match[1]}, line {match[2]}, in {match[3] or '?'}" for match in frames)
    package = missing(error)
    remedy = add(package, file) if package else f"edit {file}, then the same command again"
    return YourTurn(f"{file}, line {line}: {words}\n{shown}", remedy)


def add(package: str, file: str) -> str:
    """The remedy of a package that is missing, or of a typing error: nobody should add what he does not know."""
    return f"./pipeline add {package}, if that is what it is called on PyPI; else edit {file}"


def _innermost(error: BaseException, frames: list[re.Match]) -> re.Match:
    """The last frame of the exception itself; of one from another process, or out of a graph, the last that its own words name."""
    inner = error.__cause__ if type(error.__cause__).__name__ in ("RemoteTraceback", "_RemoteTraceback") else error
    named = [match for match in FRAME.finditer(str(inner)) if match[1] != "model/__init__.py"]
    return named[-1] if named else frames[-1]


def _words(error: BaseException) -> str:
    """`Type: message` in one line, without colours and the arguments that Keras lists; an error in a graph has its code before these."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("Arguments received by ")[0]
    if text.startswith("in user code:"):
        return " ".join(text.rpartition('File "')[2].partition("\n\n")[2].split()) or type(error).__name__
    words = " ".join(text.split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
