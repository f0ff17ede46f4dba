"""git, run in this repository."""

import subprocess

from scripts.workspace.errors import YourTurn


def git(*arguments: str, remedy: str = "mend that, then the same command again") -> bytes:
    """What `git ARGUMENTS` prints. Raises YourTurn with git's own words if it fails."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError:
        raise YourTurn("git is not installed, and the ledger is a git history", "install git") from None
    if done.returncode:
        raise YourTurn(f"git {arguments[0]}: {_last_line(done.stderr)}", remedy)
    return done.stdout


def text(*arguments: str) -> str:
    return git(*arguments).decode().strip()


def show(revision: str, path: str) -> bytes | None:
    """The file as it is in `revision`; None if there is none."""
    done = subprocess.run(["git", "show", f"{revision}:{path}"], capture_output=True)
    return None if done.returncode else done.stdout


def exists(revision: str) -> bool:
    """Whether this clone has the commit: a shallow one may not."""
    return not subprocess.run(["git", "cat-file", "-e", f"{revision}^{{commit}}"], capture_output=True).returncode


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ").removeprefix("error: ") if lines else "failed without a word"
