"""What surrounds a training: a fixed set of variables, an empty home, and no file from outside.

No setting of the user may affect a release: neither ~/.keras/keras.json nor an environment variable of one machine.
"""

from __future__ import annotations

import ast
import os
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.release import identity
from scripts.workspace import checkout, console
from scripts.workspace.errors import YourTurn

# Variables that reach a model file: the places of programs, libraries and devices, text, and logging. None affects a weight.
REACHING = [
    "PATH",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
]
REACHING += [
    "PYTHONBREAKPOINT",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_TOKEN",
    "TF_CONFIG",
]
HOME = Path("build/home")
_allowed: set[str] = set()  # files that model files may read


@contextmanager
def fixed() -> Generator[None]:
    """The block runs with the variables of a training, and no others."""
    before = dict(os.environ)
    kept = {name: before[name] for name in REACHING if name in before}
    HOME.mkdir(parents=True, exist_ok=True)
    os.environ.clear()
    os.environ.update(kept | {"HOME": str(HOME.absolute()), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def refuse_variables(module: str) -> None:
    """Refuses a model file that reads a variable outside of REACHING: it would silently get the default."""
    for path in identity.model_files(module):
        for node in filter(None, map(_variable, ast.walk(ast.parse(path.read_text())))):
            if node.value not in [*REACHING, "HOME"]:
                problem = f"{path}, line {node.lineno}: the environment variable {node.value} does not reach a training"
                raise YourTurn(f"{problem}, since it is no part of the release", f"write its value into {path}")


def _variable(node: Any) -> ast.Constant | None:
    """The name of the variable that an expression reads: os.environ["X"], os.environ.get("X") or os.getenv("X")."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and ast.unparse(node.value).endswith("environ")
    ):
        found = node.slice
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(("environ.get", "getenv")):
        found = node.args[0]
    else:
        return None
    return found if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def refuse_paths(module: str) -> None:
    """Refuses a model file whose data() or network() names a path outside of model/: TensorFlow opens files past Python, unseen by
    refuse_files. A path in fit() may be a place to write."""
    for file, statements in identity.reading(module).items():
        for node in (node for statement in statements for node in ast.walk(statement)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_outside(node.value):
                raise _foreign(f"{file}, line {node.lineno}, names {node.value}")


def _is_outside(text: str) -> bool:
    if "/" not in text or not text.strip("./") or text.startswith(tempfile.gettempdir()) or not os.path.exists(text):
        return False
    return not f"{os.path.abspath(text)}{os.sep}".startswith((*_rooms(), *_forms("model")))


def _rooms() -> tuple[str, ...]:
    """Folders that libraries and the pipeline itself may read."""
    roots = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/etc", "/proc", "/sys", "/dev", "build"]
    return tuple({form for root in roots for form in _forms(root)})


def _forms(folder: str) -> list[str]:
    return [f"{form(folder)}{os.sep}" for form in (os.path.abspath, os.path.realpath)]


def _foreign(what: str) -> YourTurn:
    problem = f"{what}, which is no part of the release: it could change, and the release's name would not"
    return YourTurn(problem, "put it below model/, where git holds it")


def refuse_files(module: str) -> None:
    """Refuses, for the rest of this process, a model file that opens a file outside of the release.

    Files that the process itself wrote are allowed.
    """
    if not _allowed:
        begin, rooms = time.time(), _rooms()
        sys.addaudithook(lambda event, arguments: _watch(begin, rooms, arguments) if event == "open" else None)
    _allowed.update(str(path.absolute()) for path in [*identity.data_files([module]), Path("model/__init__.py")])


def _watch(begin: float, rooms: tuple[str, ...], arguments: tuple) -> None:
    if not isinstance(arguments[0], str) or not _reads(*arguments[1:]):
        return
    path = os.path.abspath(arguments[0])
    if path in _allowed or path.endswith((".py", ".pyc")) or path.startswith(rooms) or not os.path.isfile(path):
        return
    if os.stat(path).st_ctime < begin and (caller := _caller()):
        shown = os.path.relpath(path) if path.startswith(os.getcwd()) else path
        if checkout.ignored([Path(shown)]):
            raise YourTurn(f"{caller} reads {shown}, which git ignores: no commit holds it", f"git add --force {shown}")
        raise _foreign(f"{caller} reads {shown}")


def tell_fetches(module: str) -> None:
    """Says, for the rest of this process, where the model file asks another computer: what comes from there has no name."""
    logs, told = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).hostname, set()

    def watch(event: str, arguments: tuple) -> None:
        if event not in ("socket.getaddrinfo", "socket.connect"):
            return
        host, who = _host(arguments[event == "socket.connect"]), _caller() or f"model/{module}.py"
        if not host or who in told:
            return
        told.add(who)
        if host != logs:  # it is told of the training, and not asked
            console.say(f"  note       {who} asks {host}: what comes from there is no part of the release,")
            console.say(
                "             whose name stays if it changes: name it in SOURCES, or have refresh() bring it into model/"
            )

    sys.addaudithook(watch)


def _host(address: Any) -> str | None:
    """The host of an address, if it is another than this one."""
    host = address[0] if isinstance(address, tuple) else address
    host = os.fsdecode(host) if isinstance(host, str | bytes) else ""  # a socket of the kernel has numbers in its place
    return None if host in ("", "localhost", "::1") or host.startswith(("127.", "/", "\0")) else host


def _reads(mode: Any, flags: int) -> bool:
    return not set(mode) & set("wax") if isinstance(mode, str) else flags & os.O_ACCMODE == os.O_RDONLY


def _caller() -> str | None:
    """The file and line of model/ that is being executed."""
    frame, folder = sys._getframe(2), f"{os.getcwd()}/model/"
    while frame:
        if frame.f_code.co_filename.startswith(folder) and not frame.f_code.co_filename.endswith("/__init__.py"):
            return f"{os.path.relpath(frame.f_code.co_filename)}, line {frame.f_lineno},"
        frame = frame.f_back
    return None
