"""Adds a package for the models to pyproject.toml, and locks it with all the others."""

import subprocess
from pathlib import Path

from scripts.workspace import files, requirements, settings
from scripts.workspace.errors import YourTurn


def add(packages: list[str]) -> list[str]:
    """Adds `packages` (names, versions as pip takes them) to the group train, and locks. Returns the lines that are new in its lock.

    Raises YourTurn, with every file as it was, if a name or a version does not exist, or conflicts with another package.
    """
    lock = Path("requirements/train.txt")
    before = {path: path.read_text() for path in (settings.FILE, *sorted(Path("requirements").glob("*.txt")))}
    try:
        # This repository has no uv.lock, hence --frozen: requirements/compile locks.
        _run([requirements.find_uv(), "add", "--quiet", "--frozen", "--group", "train", "--", *packages], packages)
        _run(["requirements/compile"], packages)
    except BaseException:
        for path, text in before.items():
            files.write(path, text)
        raise
    return [line.rstrip(" \\") for line in lock.read_text().splitlines() if "==" in line and line not in before[lock]]


def _run(command: list[str], packages: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        problem = f"{', '.join(packages)} cannot be added:\n{done.stderr.strip()}"
        raise YourTurn(problem, "mend the name or its version, then ./pipeline add again; nothing was changed")
