"""The locked environments in `.venv`: finds or installs uv, and syncs when the lock changed.

Standard library only: it runs before anything is installed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from scripts.workspace import machine
from scripts.workspace.errors import YourTurn

LEVELS = ["base", "serve", "train", "dev"]  # each lock holds all of the one before it: .venv only ever grows
VENV = Path(".venv")
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "synced"  # "LEVEL HASH"; "LEVEL -" until a sync has finished
OWN_UV = Path(".uv")  # where uv goes when the machine has none
SUPPORTED = ">=3.11,<3.14"  # TensorFlow's wheels; uv finds or fetches such a Python if this one is newer


def ensure(level: str) -> None:
    """Syncs `.venv` to at least the lock `level`, at the versions locked now. If it is synced already, this costs one small hash."""
    if is_synced(level):
        return
    with _exclusively():
        if not is_synced(level):
            _sync(max(level, _level_of_stamp(), key=LEVELS.index))


def is_synced(level: str) -> bool:
    """Whether `.venv` holds `level` as it is locked now."""
    synced = _level_of_stamp()
    return (
        LEVELS.index(synced) >= LEVELS.index(level)
        and _stamp() == f"{synced} {_hash(synced)}"
        and os.access(PYTHON, os.X_OK)
    )


def _stamp() -> str:
    return STAMP.read_text() if STAMP.exists() else "base -"


def _level_of_stamp() -> str:
    level = _stamp().partition(" ")[0]
    return level if level in LEVELS else "base"


def _hash(level: str) -> str:
    return hashlib.sha256(Path(f"requirements/{level}.txt").read_bytes()).hexdigest()


@contextmanager
def _exclusively() -> Generator[None]:
    """One sync at a time: two first calls at once would both make the environment."""
    with open(".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(level: str) -> None:
    uv = find_uv()
    print(f"syncing .venv with requirements/{level}.txt", file=sys.stderr, flush=True)
    if not os.access(PYTHON, os.X_OK):
        python = sys.executable if sys.version_info < (3, 14) else SUPPORTED
        _run([uv, "venv", "--quiet", "--clear", "--python", python, str(VENV)], "make the environment .venv")
    STAMP.write_text(f"{level} -")  # if this is killed, the next call syncs at least this level
    _run(
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, f"requirements/{level}.txt"],
        f"install requirements/{level}.txt",
    )
    STAMP.write_text(f"{level} {_hash(level)}")


def find_uv() -> str:
    """The machine's uv, else this repository's own."""
    own = OWN_UV / "bin" / "uv"
    if found := shutil.which("uv"):
        return found
    if not own.exists():
        print("installing uv into .uv", file=sys.stderr, flush=True)
        # --target leaves the machine's packages alone, and works where they are externally managed.
        python = os.path.join(sys.base_exec_prefix, "bin", "python3")  # not .venv's Python, which has no pip
        pip = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-warn-script-location",
        ]
        _run([*pip, "--require-hashes", "--target", str(OWN_UV), "-r", "requirements/uv.txt"], "install uv by pip")
    return str(own)


def _run(command: list[str], purpose: str) -> None:
    if subprocess.run(command, stdin=subprocess.DEVNULL, env=machine.of_installers()).returncode:
        raise YourTurn(
            f"could not {purpose}: see the lines above",
            "mend that (no pip? install your system's python3-pip, or uv itself; no network?), then the same command again",
        )
