"""Whether the locks hold what pyproject.toml asks for, on every platform; as a program: a line for each defect, and exit 1."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.workspace import requirements, settings

PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]  # TensorFlow 2.20 has wheels for these
PYTHONS = ["3.11", "3.12", "3.13"]
TENSORFLOW = {"tensorflow", "tensorflow-cpu"}


def defects() -> Iterator[str]:
    """The defects of requirements/*.txt, each with its file and platform."""
    for lock, wanted in _wanted().items():
        locked = [Requirement(line) for line in _lines(Path(f"requirements/{lock}.txt"))]
        for environment in _environments():
            yield from _missing(lock, wanted, locked, environment)


def _lines(lock: Path) -> list[str]:
    return [line.rstrip(" \\") for line in lock.read_text().splitlines() if "==" in line and not line.startswith("#")]


def _environments() -> Iterator[dict[str, str]]:
    for system, machine in PLATFORMS:
        for python in PYTHONS:
            names = {"python_version": python, "python_full_version": f"{python}.0"}
            yield names | {"sys_platform": system, "platform_machine": machine, "platform_system": system.capitalize()}


def _missing(
    lock: str, wanted: list[Requirement], locked: list[Requirement], environment: dict[str, str]
) -> Iterator[str]:
    platform = (
        f"{environment['sys_platform']} {environment['platform_machine']}, Python {environment['python_version']}"
    )
    here = {canonicalize_name(one.name): str(one.specifier)[2:] for one in locked if _applies(one, environment)}
    for requirement in wanted:
        version = here.get(canonicalize_name(requirement.name))
        if _applies(requirement, environment) and (version is None or version not in requirement.specifier):
            found = f"holds {version}" if version else "does not hold it"
            yield f"pyproject.toml asks for {requirement}, and requirements/{lock}.txt {found} for {platform}"
    if lock in requirements.LEVELS[1:] and len(TENSORFLOW & here.keys()) != 1:
        held = " and ".join(sorted(TENSORFLOW & here.keys())) or "no TensorFlow"
        yield f"requirements/{lock}.txt holds {held} for {platform}"


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _wanted() -> dict[str, list[Requirement]]:
    """The direct requirements that each lock must satisfy."""
    document = tomllib.loads(settings.FILE.read_text())
    groups, base = document["dependency-groups"], document["project"]["dependencies"]
    tensorflow = groups[settings.read().tensorflow]
    asked = {level: [*base, *tensorflow, *_members(groups, level)] for level in requirements.LEVELS[1:]}
    asked |= {"base": base, "aws": groups["aws"], "clouds": groups["clouds"]}
    return {lock: [Requirement(one) for one in lines] for lock, lines in asked.items()}


def _members(groups: dict[str, Any], name: str) -> Iterator[str]:
    for member in groups[name]:
        if isinstance(member, dict):
            yield from _members(groups, member["include-group"])
        else:
            yield member


if __name__ == "__main__":
    found = list(dict.fromkeys(defects()))
    print(*found, *["next: requirements/compile"] * bool(found), sep="\n")
    sys.exit(bool(found))
