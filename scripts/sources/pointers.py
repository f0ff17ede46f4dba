"""Has Git LFS and DVC bring the files that a checkout holds only pointers to, where these tools are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.release import identity, pointers
from scripts.workspace import console
from scripts.workspace.errors import YourTurn


def resolve(modules: Iterable[str]) -> None:
    """Raises YourTurn for a pointer whose tool is missing, or fails."""
    paths = identity.data_files(list(modules))
    if lfs := [path for path in paths if pointers.lfs(path)]:
        _call(["git", "lfs", "pull", "--include", ",".join(map(str, lfs))], "git-lfs", "Git LFS", lfs)
    if dvc := pointers.dvc(paths):
        _call(["dvc", "pull", *sorted(set(map(str, dvc.values())))], "dvc", "DVC", list(dvc))


def _call(command: list[str], program: str, name: str, wanted: list[Path]) -> None:
    shown = " ".join(command)
    problem = f"{wanted[0]} is kept by {name}, and only a pointer to it is here"
    if not shutil.which(program):
        raise YourTurn(f"{problem}; {program} is not installed", f"install it, then {shown}")
    console.say(f"  fetch      {shown}")
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode or any(not path.exists() or pointers.lfs(path) for path in wanted):
        words = ended.stderr.strip().splitlines()
        raise YourTurn(f"{problem}; {program} says: {words[-1] if words else 'nothing'}", f"mend that, then {shown}")
