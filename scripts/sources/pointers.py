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
    """Raises YourTurn for a pointer whose tool is missing, or fails, and for one that is in no release's name."""
    paths = identity.data_files(list(modules))
    if unnamed := [path for path in pointers.outs(Path(pointers.PIPELINE)) if path.parts[0] == "model"]:
        problem = f"{unnamed[0]} is an output of dvc.yaml, which lies outside model/: its content would not be in a release's name"
        raise YourTurn(problem, "put dvc.yaml and dvc.lock below model/, or keep the file by dvc add")
    if lfs := {path: path for path in paths if pointers.lfs(path)}:
        _call(["git", "lfs", "pull", "--include", ",".join(map(str, lfs))], "git-lfs", "Git LFS", lfs)
    if dvc := pointers.dvc(paths):
        _call(["dvc", "pull", *sorted(map(str, dvc))], "dvc", "DVC", dvc)


def _call(command: list[str], program: str, name: str, wanted: dict[Path, Path]) -> None:
    """`wanted` is what is not here as it is kept, by its pointer."""
    file, pointer = next(iter(wanted.items()))
    is_other = file != pointer and file.exists()
    here = f"what is here is not what {pointer} names" if is_other else "only a pointer to it is here"
    problem, shown = f"{file} is kept by {name}, and {here}", " ".join(command)
    keeps = f"{program} commit" if pointer.name == pointers.PIPELINE else f"{program} add {file}"
    remedy = (
        f"if that is meant, {keeps}; else {program} pull --force {file}" if is_other else f"mend that, then {shown}"
    )
    if not shutil.which(program):
        raise YourTurn(f"{problem}; {program} is not installed", f"install it, then {shown}")
    console.say(f"  fetch      {shown}")
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode or any(not path.exists() or pointers.lfs(path) for path in wanted):
        words = " ".join(ended.stderr.split())[:300]
        raise YourTurn(f"{problem}; {program} says: {words or 'nothing'}", remedy)
