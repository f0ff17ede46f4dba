"""`./pipeline lint`: clean as it is, and each of its checks sees a known defect."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import lint
from tests.conftest import requires
from tests.support.fork import ROOT, Fork

WORKFLOW = """\
name: bad
on: push
permissions: {}
concurrency: {group: bad, cancel-in-progress: true}
jobs:
  bad:
    name: bad
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - run: ./pipeline lint
"""
# One defect each, in a file of its own: the check that must see it, and what it must say.
DEFECTS = {
    "an import that nothing uses": ("code", "scripts/bad.py", "import os\n", "F401"),
    "a line that ruff would break": ("format", "scripts/bad.py", "x = {  'a':1}\n", "would be reformatted"),
    "a number where words belong": ("types", "scripts/bad.py", "x: str = 1\n", "invalid-assignment"),
    "an unknown context": (
        "actionlint",
        ".github/workflows/bad.yml",
        WORKFLOW.replace("name: bad\n    runs-on", "name: ${{ nowhere.x }}\n    runs-on"),
        'undefined variable "nowhere"',
    ),
    "a right without its reason": (
        "zizmor",
        ".github/workflows/bad.yml",
        WORKFLOW.replace("    steps:", "    permissions:\n      contents: write\n    steps:"),
        "undocumented-permissions",
    ),
    "what a stranger wrote in a shell": (
        "zizmor",
        ".github/workflows/bad.yml",
        WORKFLOW.replace("on: push", "on: issues").replace("lint", "lint ${{ github.event.issue.title }}"),
        "template-injection",
    ),
    "a job that runs on nothing": (
        "workflows",
        ".github/workflows/bad.yml",
        WORKFLOW.replace("    runs-on: ubuntu-24.04\n", ""),
        "is not valid under any of the given schemas",
    ),
    "an action that runs nothing": (
        "actions",
        ".github/actions/bad/action.yml",
        "name: bad\n",
        "'runs' is a required property",
    ),
    "an import that goes up": (
        "layers",
        "scripts/workspace/bad.py",
        "from scripts.release import golden\n",
        "scripts.workspace.bad -> scripts.release.golden",
    ),
    "a room that nobody placed": ("layers", "scripts/attic.py", "", "scripts.attic"),
    "a lock that holds nothing": ("locks", "requirements/serve.txt", "", "holds no TensorFlow for linux x86_64"),
    "updates without an interval": (
        "dependabot",
        ".github/dependabot.yml",
        "version: 2\nupdates:\n  - {package-ecosystem: pip, directory: /}\n",
        "'schedule' is a required property",
    ),
    "a form without questions": (
        "forms",
        ".github/ISSUE_TEMPLATE/bad.yml",
        "name: bad\ndescription: bad\n",
        "'body' is a required",
    ),
    "a link without an address": (
        "chooser",
        ".github/ISSUE_TEMPLATE/config.yml",
        "contact_links:\n  - {name: bad, about: bad}\n",
        "'url' is a required property",
    ),
    "a base image without a tag": ("dockerfile", "serving/Dockerfile", "FROM debian\n", "DL3006"),
    "a variable that splits": ("shell", ".ci/run", "#!/bin/bash\nls $1\n", "SC2086"),
}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lint looks at besides code, in a folder of its own."""
    for name in (".github", ".ci", "requirements", "scripts", "serving"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(check: str) -> None:
    if not lint.CHECKS[check].program():
        requires("tools", f"{lint.CHECKS[check].command[0]} is not installed")


@pytest.mark.parametrize("check", lint.CHECKS)
def test_this_repository_is_clean(check: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    installed(check)
    monkeypatch.chdir(ROOT)
    assert lint.check(check), capsys.readouterr().out
    assert f"  clean      {check}\n" in capsys.readouterr().out, "nothing was checked"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_seen(small: Path, defect: str, capsys: pytest.CaptureFixture) -> None:
    check, file, text, words = DEFECTS[defect]
    installed(check)
    (small / file).parent.mkdir(parents=True, exist_ok=True)
    (small / file).write_text(text)
    assert not lint.check(check)
    said = capsys.readouterr().out
    assert f"  failed     {check}\n" in said and words in said


def test_every_check_has_a_defect_that_it_sees() -> None:
    assert {check for check, *_ in DEFECTS.values()} == lint.CHECKS.keys()


def test_fix_mends_what_can_be_mended(fork: Fork) -> None:
    (fork.root / "scripts/untidy.py").write_text('"""Untidy."""\nimport os\nx = {  "a":1 }\n')
    refused = fork.run("lint", "code", "format")
    assert refused.err == (
        "error: not clean: code, format\n  next: ./pipeline lint --fix mends some of it, then ./pipeline lint code format\n"
    )
    fork.ok("lint", "code", "format", "--fix")
    assert (fork.root / "scripts/untidy.py").read_text() == '"""Untidy."""\n\nx = {"a": 1}\n'


def test_the_hook_refuses_a_commit_that_is_not_clean(fork: Fork) -> None:
    (fork.root / "scripts/untidy.py").write_text("import os\n")
    fork.git("add", "-A")
    done = subprocess.run([lint.BIN / "pre-commit", "run"], cwd=fork.root, capture_output=True, text=True)
    assert done.returncode == 1 and "scripts/untidy.py:1:8: F401" in done.stdout


def test_what_is_not_installed_is_said(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert lint.check("actionlint")
    assert capsys.readouterr().out == "  skipped    actionlint: actionlint is not installed\n"


def test_a_check_that_does_not_exist(shared_fork: Fork) -> None:
    result = shared_fork.run("lint", "zizmr")
    assert (result.code, result.err) == (
        1,
        "error: no check 'zizmr'; did you mean 'zizmor'?\n  next: name one of these, or none\n",
    )


@pytest.mark.parametrize(
    ("needs", "code", "words"),
    [
        ({"lint": "success", "comment": "skipped"}, 0, "comment  skipped"),
        ({"lint": "success", "test": "failure"}, 1, "error: not all jobs succeeded: test (failure)"),
        ({"test": "cancelled"}, 1, "error: not all jobs succeeded: test (cancelled)"),
    ],
)
def test_the_last_job_looks_at_all_others(shared_fork: Fork, needs: dict[str, str], code: int, words: str) -> None:
    result = shared_fork.run("conclude", json.dumps({name: {"result": result} for name, result in needs.items()}))
    assert result.code == code and words in result.out + result.err


def test_the_last_job_refuses_what_is_no_result(shared_fork: Fork) -> None:
    result = shared_fork.run("conclude", "success")
    assert (result.code, result.err.splitlines()[0]) == (1, "error: 'success' is not Actions' `needs` as JSON")
