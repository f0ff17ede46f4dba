"""What GitHub says of this fork. A missing remote, gh or login is not an error here."""

import functools
import json
import re
import shutil
from typing import Any

from scripts.github import gh
from scripts.github.gh import Refused
from scripts.workspace import remote

PLAN = re.compile(r"upgrade to|make this repository public", re.I)


def unreachable() -> tuple[str, str] | None:
    """Why GitHub cannot be asked, and what to do about it; None where it can."""
    if not remote.on_github():
        return "the remote origin is not on GitHub", "git remote add origin https://github.com/OWNER/NAME"
    if not shutil.which("gh"):
        return "gh is not installed", "https://cli.github.com, then gh auth login"
    try:
        get("")
    except Refused as error:
        return error.problem, f"gh repo view {remote.on_github()}" if error.status else "gh auth login"
    return None


@functools.cache
def get(path: str) -> Any:
    """GET repos/OWNER/NAME/PATH, asked once. Raises Refused."""
    return get_anywhere(f"repos/{remote.on_github()}/{path}".rstrip("/"))


def get_anywhere(path: str) -> Any:
    done = gh.gh("api", "--method", "GET", path)
    if done.returncode:
        status = re.search(r" \(HTTP (\d+)\)", done.stderr)
        words = done.stderr.strip().partition("\n")[0].removeprefix("gh: ").partition(" (HTTP ")[0]
        raise Refused(int(status[1]) if status else 0, words, "gh auth status")
    return json.loads(done.stdout)


def listed(path: str, key: str) -> list[dict[str, Any]]:
    """The entries under `key`: one page of at most 100, which is enough."""
    return get(f"{path}?per_page=100")[key]


def is_the_plan(error: Refused) -> bool:
    """Whether the owner's plan lacks the feature, so that no setting can enable it."""
    return bool(PLAN.search(error.problem))
