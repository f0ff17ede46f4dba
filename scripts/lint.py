"""Checks everything in this repository that can be checked without running it; says what it skipped for want of a tool

Code, types, the locks, workflows, the files that GitHub reads, Dockerfiles, shell scripts. Any failure is exit 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn

NEEDS = "dev"
BIN = Path(sys.executable).parent  # where the locked tools are


@dataclass(frozen=True)
class Check:
    """A program and its arguments; `files` are patterns, without `but`; if no file matches, there is nothing to check."""

    command: tuple[str, ...]
    files: tuple[str, ...] = ()
    but: str = ""
    locked: bool = True  # else the program may be missing
    fast: bool = False  # fast enough to run before each commit
    fix: tuple[str, ...] = ()  # arguments with which the program mends its findings

    def words(self) -> list[str]:
        found = [str(path) for pattern in self.files for path in sorted(Path().glob(pattern)) if path.is_file()]
        return [*self.command, *(path for path in found if path != self.but)]

    def program(self) -> str | None:
        found = BIN / self.command[0]
        return str(found) if found.exists() else shutil.which(self.command[0])


def _schema(name: str, *files: str, but: str = "") -> Check:
    return Check(("check-jsonschema", "--builtin-schema", f"vendor.{name}"), files, but)


WORKFLOWS, ACTIONS = ".github/workflows/*.yml", ".github/actions/*/action.yml"
CHOOSER = ".github/ISSUE_TEMPLATE/config.yml"
CODE, FORMAT = ("ruff", "check", "--quiet"), ("ruff", "format", "--quiet")
CHECKS = {
    "code": Check((*CODE, "--output-format=concise"), fast=True, fix=(*CODE, "--fix")),
    "format": Check((*FORMAT, "--check"), fast=True, fix=FORMAT),
    "types": Check(("ty", "check", "--no-progress", "--output-format=concise"), fast=True),
    "layers": Check(("lint-imports", "--no-cache"), fast=True),
    "locks": Check(("python", "-m", "scripts.workspace.locks")),
    "actionlint": Check(("actionlint", "-no-color"), (WORKFLOWS,), locked=False),
    # The pedantic persona asks for a reason beside each permission, and for names, limits and locks of everything.
    "zizmor": Check(("zizmor", "--persona=pedantic", "--no-progress", "--quiet", "--offline", ".")),
    "workflows": _schema("github-workflows", WORKFLOWS),
    "actions": _schema("github-actions", ACTIONS),
    "dependabot": _schema("dependabot", ".github/dependabot.yml"),
    "forms": _schema("github-issue-forms", ".github/ISSUE_TEMPLATE/*.yml", but=CHOOSER),
    "chooser": _schema("github-issue-config", CHOOSER),
    "dockerfile": Check(("hadolint",), ("*/Dockerfile", "serving/Dockerfile.embedded")),
    "shell": Check(("shellcheck",), ("requirements/compile", ".ci/*", "k8s/clusters/*/cluster")),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of: {', '.join(CHECKS)}; none: all")
    parser.add_argument("--fast", action="store_true", help="only what a commit can wait for")
    parser.add_argument("--fix", action="store_true", help="first mend what can be mended")
    parser.add_argument("--online", action="store_true", help="zizmor also asks GitHub what is known of the actions")


def run(checks: list[str], fast: bool, fix: bool, online: bool) -> int:
    names = checks or [name for name in CHECKS if CHECKS[name].fast or not fast]
    for name in names:
        if name not in CHECKS:
            raise YourTurn(f"no check {name!r}{settings.did_you_mean(name, CHECKS)}", "name one of these, or none")
    for name in names if fix else []:
        _fix(name)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        clean = list(pool.map(lambda name: check(name, online), names))
    if failed := [name for name, good in zip(names, clean, strict=True) if not good]:
        fixable = any(CHECKS[name].fix for name in failed) and not fix
        way = "./pipeline lint --fix mends some of it" if fixable else "mend what the lines above say"
        raise YourTurn(f"not clean: {', '.join(failed)}", f"{way}, then ./pipeline lint {' '.join(failed)}")
    return 0


def _fix(name: str) -> None:
    if words := CHECKS[name].fix:
        subprocess.run([CHECKS[name].program() or words[0], *words[1:]], check=False)


def check(name: str, online: bool = False) -> bool:
    """Runs one check and says its result. Returns False if it found something; a missing tool finds nothing."""
    check = CHECKS[name]
    program = check.program()
    if not program and not check.locked:
        console.tell(f"  skipped    {name}: {check.command[0]} is not installed")
        return True
    words = check.words()
    if check.files and len(words) == len(check.command):
        console.tell(f"  skipped    {name}: there is no {' '.join(check.files)}")
        return True
    arguments = [word for word in words[1:] if not (online and word == "--offline")]
    # BIN first: actionlint looks for shellcheck there.
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([program or words[0], *arguments], capture_output=True, text=True, env=environment)
    console.tell(f"  {'failed' if done.returncode else 'clean':<10} {name}")
    if done.returncode:
        console.tell((done.stdout + done.stderr).rstrip())
    return not done.returncode
