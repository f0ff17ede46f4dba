"""GitHub's API by `gh`: one request at a time, repeated after a passing failure of GitHub."""

import json
import os
import re
import subprocess
import time
from typing import Any

from scripts.workspace import process, remote
from scripts.workspace.errors import YourTurn

SERVER = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
ATTEMPTS = 4
PAUSE_SECONDS = 2  # doubled each time: GitHub's hiccups pass within half a minute, or last for hours
LIMIT = 65_000  # characters of a body; GitHub refuses more than 65,536
TRANSIENT = re.compile(r"HTTP 5\d\d|HTTP 429|rate limit|timed? ?out|connection (?:reset|refused)|\bEOF\b", re.I)


ABSENT = YourTurn("gh is not installed, and it speaks to GitHub", "https://cli.github.com")


class Refused(YourTurn):
    """The API said no: `status` is HTTP's, 0 where there was none."""

    def __init__(self, status: int, problem: str, remedy: str):
        super().__init__(problem, remedy)
        self.status = status


def repository() -> str:
    """OWNER/NAME of this fork. Raises YourTurn where it has no remote on GitHub."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name

    if name := remote.on_github():
        return name
    raise YourTurn("this clone has no remote `origin` on GitHub", "git remote add origin https://github.com/OWNER/NAME")


def url(path: str) -> str:
    """The address of a page of this repository, for people."""
    return f"{SERVER}/{repository()}/{path}"


def api(method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
    """The answer to one request below repos/OWNER/NAME. Passing failures are retried; raises Refused for any other.

    The request is made as the owner of `token`, else as the user who is logged in.
    """
    command = [
        "api",
        "--method",
        method,
        f"repos/{repository()}/{path}".rstrip("/"),
        *(["--input", "-"] if body else []),
    ]
    done = gh(*command, stdin=json.dumps(body) if body else "", token=token)
    if done.returncode:
        raise _refused(f"{method} {path}", done)
    return json.loads(done.stdout) if done.stdout.strip() else None


def fitted(body: str) -> str:
    """`body`, cut to the length that GitHub accepts."""
    return body if len(body) <= LIMIT else f"{body[:LIMIT]}\n…\n\nThe rest is in the summary of the run."


def gh(*arguments: str, stdin: str = "", token: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `gh ARGUMENTS`, again after a passing failure of GitHub."""
    variables = os.environ | ({"GH_TOKEN": token} if token else {})
    for attempt in range(ATTEMPTS):
        done = process.text(["gh", *arguments], ABSENT, stdin, variables)
        if not done.returncode or not TRANSIENT.search(done.stderr) or attempt == ATTEMPTS - 1:
            return done
        time.sleep(PAUSE_SECONDS * 2**attempt)
    raise AssertionError


def _refused(doing: str, done: subprocess.CompletedProcess[str]) -> Refused:
    status = re.search(r"HTTP (\d{3})", done.stderr)
    problem = f"GitHub refuses {doing}: {' '.join(done.stderr.split()).removeprefix('gh: ') or 'without a word'}"
    if TRANSIENT.search(done.stderr):
        return Refused(int(status[1]) if status else 0, problem, "run it again: it goes on where it was")
    return Refused(int(status[1]) if status else 0, problem, "see that the token may do this: gh auth status")
