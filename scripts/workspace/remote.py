"""The remote `origin`: what is pushed there, and what it may refuse."""

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from scripts.workspace import git
from scripts.workspace.errors import YourTurn

ATTEMPTS = 8  # each is lost only to somebody who pushed within the second that it takes

GITHUB = re.compile(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")


class Stale(Exception):
    """Somebody has pushed meanwhile."""


class Protected(Exception):
    """The branch takes no push from us; the message is the remote's reason."""


def branch() -> str:
    """The branch that the ledger is on: the one checked out, and main where a commit is."""
    done = subprocess.run(["git", "symbolic-ref", "--quiet", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "main"


def fetch(name: str) -> str:
    """The commit that origin has as branch `name`."""
    git.git(*_credentials(), "fetch", "--quiet", "origin", f"+refs/heads/{name}:refs/remotes/origin/{name}")
    return git.text("rev-parse", f"refs/remotes/origin/{name}")


def push(name: str, force: bool = False) -> None:
    """HEAD to the branch `name`. Raises Stale, Protected, and YourTurn for any other failure."""
    refspec = f"{'+' if force else ''}HEAD:refs/heads/{name}"
    command = ["git", *_credentials(), "push", "--porcelain", "--quiet", "origin", refspec]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.returncode:
        return
    words = " ".join(f"{done.stdout} {done.stderr}".split())
    if re.search(r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value", words):
        raise Stale
    if "[remote rejected]" in words:
        raise Protected(_reason(done.stderr))
    raise YourTurn(f"git push: {words}", "see that this account may push, then the same command again")


def _reason(stderr: str) -> str:
    """What the remote says of itself, without git's frame."""
    lines = [line.removeprefix("remote:").strip(" -") for line in stderr.splitlines() if line.startswith("remote:")]
    return " ".join(filter(None, lines)) or "the branch is protected"


def _credentials() -> list[str]:
    """gh's, where there is gh: no job keeps any in its checkout."""
    return ["-c", "credential.helper=!gh auth git-credential"] if shutil.which("gh") else []


@contextmanager
def on_top_of(commit: str) -> Generator[None]:
    """The block works in a checkout of `commit` beside this one, which stays as it is, whatever is edited in it."""
    with tempfile.TemporaryDirectory() as folder:
        git.git("worktree", "add", "--quiet", "--detach", f"{folder}/tree", commit)
        try:
            with contextlib.chdir(f"{folder}/tree"):
                yield
        finally:
            git.git("worktree", "remove", "--force", f"{folder}/tree")


def on_github() -> str:
    """OWNER/NAME of the remote `origin`; empty where that is not on GitHub."""
    match = GITHUB.search(source())
    return f"{match[1]}/{match[2]}" if match else ""


def source() -> str:
    """The URL of the remote `origin`, without credentials; empty for a path, which says nothing to anybody else."""
    result = subprocess.run(["git", "config", "remote.origin.url"], capture_output=True, text=True)
    url = re.sub(r"//[^/@]*@", "//", result.stdout.strip())
    return url if "://" in url or url.startswith("git@") else ""
