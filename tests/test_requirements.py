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


@pytest.fixture(scope="module")
def locking(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """A fork whose settings and locks these tests change, each from what git has."""
    fork = Fork(tmp_path_factory.mktemp("locking") / "fork")
    (fork.root / ".venv").unlink()  # its own, since it follows its locks
    (fork.root / ".uv").symlink_to(ROOT / ".uv")  # what is there already; else this is where it goes
    return fork


def look_at_locks(fork: Fork) -> subprocess.CompletedProcess[str]:
    """As `lint locks` does, which would first install what they hold."""
    command = [sys.executable, "-m", "scripts.workspace.locks"]
    return subprocess.run(command, cwd=fork.root, capture_output=True, text=True)


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


def test_one_command_adds_a_package_and_locks_it(locking: Fork) -> None:
    """One that nothing here needs, and that needs nothing."""
    locking.git("checkout", "-q", "-f", ".")
    assert re.search(r"^  add +humanize==", locking.ok("add", "humanize").err, flags=re.M)
    assert '    "humanize",\n' in (locking.root / "pyproject.toml").read_text()
    for lock, held in (("dev", True), ("train", True), ("serve", False), ("base", False)):
        assert ("\nhumanize==" in (locking.root / f"requirements/{lock}.txt").read_text()) is held
    assert look_at_locks(locking).returncode == 0


@pytest.mark.parametrize("package", ["numpy<1", "humanize!!1"], ids=["contradicts the others", "no version"])
def test_a_package_that_cannot_be_had_changes_nothing(locking: Fork, package: str) -> None:
    locking.git("checkout", "-q", "-f", ".")
    result = locking.run("add", package)
    assert (result.code, result.err.splitlines()[0]) == (1, f"error: {package} cannot be added:")
    assert locking.git("status", "--porcelain") == ""


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
