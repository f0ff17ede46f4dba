"""The command line: one list of verbs, one error boundary, and no TensorFlow where none is needed."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.__main__ import STEPS, VERBS
from tests.support.fork import ROOT, Fork

WITHOUT_TENSORFLOW = [
    ["--help"],
    ["status", "local"],
    ["history", "local"],
    ["verify", "local"],
    ["down"],
    ["deploy", "local"],
]


def file(verb: str) -> Path:
    return ROOT / "scripts" / ("steps" if verb in STEPS else "") / f"{verb.replace('-', '_')}.py"


def test_each_verb_is_a_file_and_each_file_a_verb() -> None:
    files = {path for folder in ("scripts", "scripts/steps") for path in (ROOT / folder).glob("[!_]*.py")}
    assert files == {file(verb) for verb in VERBS + STEPS}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_tests(verb: str) -> None:
    """unblock takes back what block did, and their tests are one story."""
    assert list((ROOT / "tests").glob(f"**/test_{verb.replace('-', '_').removeprefix('un')}.py"))


@pytest.fixture(scope="module")
def help_of_all() -> str:
    return subprocess.run(["./pipeline", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", VERBS + STEPS)
def test_each_verb_has_help_and_stands_in_the_readme(shared_fork: Fork, help_of_all: str, verb: str) -> None:
    summary = (ast.get_docstring(ast.parse(file(verb).read_text())) or "").partition("\n")[0]
    assert len(summary) > 20
    assert f"  {verb:<11} {summary}" in help_of_all
    assert summary in shared_fork.ok(verb, "--help").out.replace("\n", " ")
    assert verb in STEPS or f"./pipeline {verb}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("arguments", WITHOUT_TENSORFLOW, ids=" ".join)
def test_imports_no_tensorflow(shared_fork: Fork, arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "scripts", *arguments]
    imported = subprocess.run(command, cwd=shared_fork.root, capture_output=True, text=True).stderr
    names = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in imported.splitlines()
        if line.startswith("import time:")
    }
    assert "argparse" in names
    assert not names & {"tensorflow", "keras", "numpy", "matplotlib"}


def test_an_unknown_verb_is_refused_with_the_nearest(shared_fork: Fork) -> None:
    result = shared_fork.run("deplyo", "local")
    assert (result.code, result.err) == (
        1,
        "error: unknown verb 'deplyo'; did you mean 'deploy'?\n  next: ./pipeline --help\n",
    )


def test_an_unknown_option_is_refused(shared_fork: Fork) -> None:
    result = shared_fork.run("status", "local", "--fast")
    assert (result.code, result.err) == (1, "error: status has no option '--fast'\n  next: ./pipeline status --help\n")


@pytest.mark.parametrize("verb", ["deploy", "verify", "status", "history"])
def test_an_unknown_environment_is_refused_with_the_nearest(shared_fork: Fork, verb: str) -> None:
    result = shared_fork.run(verb, "locl")
    assert (result.code, result.err.splitlines()[0]) == (1, "error: no environment 'locl'; did you mean 'local'?")


def test_a_bug_is_code_3_with_what_to_report(shared_fork: Fork) -> None:
    """A defect planted in a verb."""
    path = shared_fork.root / "scripts/history.py"
    text = path.read_text()
    path.write_text(text.replace("    entries = ", "    entries = 1 / 0  #"))
    try:
        result = shared_fork.run("history", "local")
    finally:
        path.write_text(text)
    assert result.code == 3
    assert "ZeroDivisionError: division by zero" in result.err
    assert "This is a bug in the pipeline." in result.err
    assert "  ./pipeline history local\n" in result.err


def test_ctrl_c_is_code_130(fork: Fork) -> None:
    fork.edit(
        "model/instant.py",
        "def network",
        "def stop():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGINT)\n\n\ndef network",
    )
    fork.edit("model/instant.py", "    network.set_weights", "    stop()\n    network.set_weights")
    result = fork.run("train")
    assert result.code == 130 == 128 + signal.SIGINT
    assert "interrupted: nothing is half-written; the same command again goes on" in result.err
