"""A mistake in a model file, told as its author's: the file, the line, the words."""

from __future__ import annotations

import os
import re
import traceback
from types import ModuleType

from scripts.workspace.errors import YourTurn

FRAME = re.compile(rf'File "(?:{re.escape(os.getcwd())}/)?(model/[^"\n]+\.py)", line (\d+)(?:,? in (\S+))?')


def mistake(model: ModuleType, problem: str, then: str = "./pipeline train") -> YourTurn:
    """That `model`, a model file, does not keep the contract; `then` is the command after it was mended."""
    file = f"{model.__name__.replace('.', '/')}.py"
    return YourTurn(f"{file}: {problem}", f"edit {file}, then {then}")


def told(error: BaseException) -> YourTurn | None:
    """The error as the model file's own, if its traceback passes through model/, in this process or in one that it came from."""
    text = "".join(traceback.format_exception(error))
    frames = [match for match in FRAME.finditer(text) if match[1] != "model/__init__.py"]
    if not frames:
        return None
    file, line, _ = _innermost(error, frames).groups()
    words = _words(error)
    shown = "\n".join(f"    {match[1]}, line {match[2]}, in {match[3] or '?'}" for match in frames)
    return YourTurn(f"{file}, line {line}: {words}\n{shown}", f"edit {file}, then the same command again")


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
