"""How long a person waits for the verbs."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.workspace import files, requirements
from tests.support.fork import ROOT, Fork

ROUNDS = 5


def seconds(command: list[str], folder: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begin


def medians(*work: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Of interleaved rounds, after one that warms up."""
    measured = [[one() for one in work] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*measured, strict=True)]


@pytest.mark.parametrize("arguments", [["--help"], ["status", "local"]], ids=" ".join)
def test_a_light_verb_takes_half_a_second_at_most(fork: Fork, arguments: list[str]) -> None:
    bare, verb = medians(
        lambda: seconds([sys.executable, "-c", "pass"], fork.root),
        lambda: seconds(["./pipeline", *arguments], fork.root),
    )
    print(f"\n./pipeline {' '.join(arguments)}: {verb:.2f} s; a bare Python: {bare:.2f} s")
    assert verb <= 0.5


@pytest.mark.timeout(600)
def test_up_takes_at_most_1_3_times_the_work_it_contains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine: images and their tests are no part of the work that it is compared with."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    fork = Fork(tmp_path / "fork")

    def up() -> float:
        time = seconds(["./pipeline", "up"], fork.root)
        subprocess.run("./pipeline down; rm -rf build", shell=True, cwd=fork.root, check=True, capture_output=True)
        return time

    bare, whole = medians(lambda: seconds([sys.executable, "tests/benchmarks/bare.py"], fork.root), up, rounds=3)
    print(f"\n./pipeline up: {whole:.1f} s; import, fit, export and load alone: {bare:.1f} s; ratio {whole / bare:.2f}")
    assert whole <= 1.3 * bare


def test_what_the_first_call_downloads_and_keeps(tmp_path: Path) -> None:
    """The figures before the README's first command."""
    command = [
        requirements.find_uv(),
        "run",
        "--no-project",
        "--with",
        "pip",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
    ]
    lock = ROOT / "requirements/train.txt"
    subprocess.run([*command, "--only-binary=:all:", f"--dest={tmp_path}", f"--requirement={lock}"], check=True)
    print(
        f"\n./pipeline up downloads {files.size(tmp_path) / 1e9:.1f} GB; .venv has {files.size(ROOT / '.venv') / 2**30:.1f} GiB"
    )
    assert files.size(tmp_path) < 0.5e9
