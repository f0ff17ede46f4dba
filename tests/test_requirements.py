"""The locks: four environments that hold one another, with hashes and without a registry's address; and the launcher that installs them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.workspace import requirements
from tests.support.fork import ROOT, Fork


def locked(level: str) -> set[str]:
    """Each `name==version ; marker` of a lock."""
    return set(re.findall(r"^(\S+==[^\\\n]*)", (ROOT / f"requirements/{level}.txt").read_text(), flags=re.M))


def test_each_level_holds_the_one_before() -> None:
    for smaller, larger in zip(requirements.LEVELS, requirements.LEVELS[1:], strict=False):
        assert locked(smaller) < locked(larger), (smaller, larger)


def test_the_base_has_no_tensorflow() -> None:
    assert not {name for name in locked("base") if re.match(r"tensorflow|keras|numpy", name)}


def test_tensorflow_comes_once_for_every_platform() -> None:
    """tensorflow-serving-api asks for the full wheel too; both in one environment would overwrite each other's files."""
    found = [line for line in locked("serve") if line.startswith(("tensorflow==", "tensorflow-cpu=="))]
    assert {line.partition("==")[0]: line.partition(";")[2].strip() for line in found} == {
        "tensorflow": "platform_machine != 'x86_64' or sys_platform != 'linux'",
        "tensorflow-cpu": "platform_machine == 'x86_64' and sys_platform == 'linux'",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_everything_is_hashed_and_no_registry_is_named(path: Path) -> None:
    text = path.read_text()
    packages = re.findall(r"^[\w.-]+==.*\n.*", text, flags=re.M)
    assert packages
    assert all("\n    --hash=sha256:" in package for package in packages)
    assert "://" not in text.replace("# via", "")


def test_the_lock_is_of_pyproject_as_it_is_now() -> None:
    """Every direct dependency is locked at a version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = [
        d
        for group in ([project["project"]["dependencies"], *project["dependency-groups"].values()])
        for d in group
        if isinstance(d, str)
    ]
    lines = locked("dev") | locked("aws")
    for requirement in names:
        name, pin = re.findall(r"([\w.-]+)(?:\[[\w,]+\])?(?:==([\d.]+)\.\*)?", requirement)[0]
        assert any(line.startswith(f"{name.lower().replace('.', '-')}=={pin}") for line in lines), requirement


def test_a_first_call_without_uv_installs_it_and_the_base_only(tmp_path: Path) -> None:
    fork = Fork(tmp_path / "fork")
    (fork.root / ".venv").unlink()
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=folder)]
    environment = os.environ | {"PATH": os.pathsep.join(path)}
    result = subprocess.run(
        ["./pipeline", "history", "local"], cwd=fork.root, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "installing uv into .uv\n" in result.stderr
    assert "syncing .venv with requirements/base.txt\n" in result.stderr
    assert not list((fork.root / ".venv/lib").glob("python*/site-packages/tensorflow"))
    again = subprocess.run(["./pipeline", "history", "local"], cwd=fork.root, capture_output=True, text=True)
    assert "syncing" not in again.stderr
    with (fork.root / "requirements/base.txt").open("a") as lock:
        lock.write("# changed\n")
    changed = subprocess.run(["./pipeline", "history", "local"], cwd=fork.root, capture_output=True, text=True)
    assert "syncing .venv with requirements/base.txt\n" in changed.stderr


def test_an_environment_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    fork = Fork(tmp_path / "fork")
    (fork.root / ".venv").unlink()
    (fork.root / "requirements/base.txt").write_text("rich==0.0.0.0 --hash=sha256:" + "0" * 64 + "\n")
    result = subprocess.run(["./pipeline", "--help"], cwd=fork.root, capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: could not install requirements/base.txt: see the lines above\n  next: " in result.stderr
    assert not (fork.root / ".venv/synced").exists()


def test_the_generated_messages_are_those_of_the_proto(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("*pb2*", "__pycache__"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I.",
        "--python_out=.",
        "--pyi_out=.",
        "scripts/environments/serving.proto",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    for name in ("scripts/environments/serving_pb2.py", "scripts/environments/serving_pb2.pyi"):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"again: {' '.join(command[1:])}"
