"""The locks: four environments that hold one another, with hashes and without a registry's address; and the launcher that installs them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.workspace import locks, requirements
from tests.support.fork import ROOT, Fork
from tests.support.locks import look_at_locks


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


def test_the_locks_hold_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert list(locks.defects()) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (
            "requirements/serve.txt",
            "tensorflow-cpu==",
            "tensorflow-elsewhere==",
            "requirements/serve.txt holds no TensorFlow for linux x86_64, Python 3.11",
        ),
        (
            "requirements/train.txt",
            "platform_machine != 'x86_64' or sys_platform != 'linux'",
            "sys_platform == 'linux'",
            "requirements/train.txt holds tensorflow and tensorflow-cpu for linux x86_64, Python 3.12",
        ),
        (
            "pyproject.toml",
            '    "keras",',
            '    "keras>99",',
            "pyproject.toml asks for keras>99, and requirements/train.txt holds 3.",
        ),
        (
            "pyproject.toml",
            '    "rich",',
            '    "poor",',
            "pyproject.toml asks for poor, and requirements/base.txt does not hold it for darwin arm64, Python 3.13",
        ),
    ],
    ids=["no TensorFlow", "two TensorFlows", "another version", "not locked"],
)
def test_a_lock_that_does_not_hold_it_is_refused(locking: Fork, path: str, old: str, new: str, said: str) -> None:
    locking.git("checkout", "-q", "-f", ".")
    locking.edit(path, old, new)
    done = look_at_locks(locking)
    assert done.returncode == 1
    assert said in done.stdout and done.stdout.endswith("next: requirements/compile\n")


def test_cuda_is_locked_where_the_settings_say_so(locking: Fork) -> None:
    """By uv from .uv, and whatever the user's own settings of pip and Python are."""
    locking.git("checkout", "-q", "-f", ".")
    locking.edit("pyproject.toml", 'tensorflow = "cpu"', 'tensorflow = "cuda"')
    theirs = {"PATH": without_uv(), "PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1", "PYTHONSAFEPATH": "1"}
    subprocess.run(["requirements/compile"], cwd=locking.root, env=os.environ | theirs, check=True)
    text = (locking.root / "requirements/train.txt").read_text()
    assert "tensorflow-cpu" not in text
    assert re.search(r"^tensorflow==2\.20\.\d+ \\$", text, flags=re.M)
    assert re.search(r"^nvidia-cudnn-cu12==\S+ ; platform_machine == 'x86_64' and sys_platform == 'linux'", text, re.M)
    assert look_at_locks(locking).returncode == 0


def without_uv() -> str:
    """This PATH, less the folders that have a uv."""
    return os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=p))


def test_a_first_call_without_uv_installs_it_and_the_base_only(tmp_path: Path) -> None:
    fork = Fork(tmp_path / "fork")
    (fork.root / ".venv").unlink()
    theirs = {"PATH": without_uv(), "PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1", "PIP_TARGET": "/nonexistent"}
    theirs |= {"PYTHONSAFEPATH": "1", "UV_SYSTEM_PYTHON": "1", "UV_CONSTRAINT": "/nonexistent"}
    result = subprocess.run(
        ["./pipeline", "history", "local"], cwd=fork.root, env=os.environ | theirs, capture_output=True, text=True
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
    assert (fork.root / ".venv/synced").read_text() == "base -"


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
