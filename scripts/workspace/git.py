"""git for programs: its output has one form, whatever the user, a hook or the locale has set."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.workspace import process
from scripts.workspace.errors import YourTurn

ABSENT = YourTurn("git is not installed, and the ledger is a git history", "install git")
# These override the user's own settings, which would change the output that is parsed here, or the push.
SETTINGS = [
    *("color.ui=false", "core.quotePath=false", "i18n.logOutputEncoding=UTF-8", "i18n.commitEncoding=UTF-8"),
    *("log.showSignature=false", "log.follow=false", "log.showRoot=true", "diff.renames=false", "status.renames=false"),
    *("push.followTags=false", "push.recurseSubmodules=no"),
]
# Variables for the identity and for remotes. Any other GIT_… comes from a hook that started this, and names another index or folder.
KEPT = re.compile(
    r"GIT_(AUTHOR_|COMMITTER_|SSH|SSL_|HTTP_|CURL_|PROXY_|ASKPASS|TERMINAL_PROMPT|ALLOW_PROTOCOL|CONFIG_|TRACE|EXEC_PATH|LFS_"
    r"|CEILING_|DISCOVERY_)"
)
ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": "en"}  # messages are parsed below
# Lines that git prints after the line with the cause.
FRAME = re.compile(
    r"hint:|warning:|Please make sure you have the correct|and the repository exists|fatal: (?:Could not read from remote"
    r"|the remote end hung up|failed to write commit object)|error: failed to push some refs",
    re.I,
)
REMEDIES = {  # words of git's message → the remedy
    r"not a git repository": "git init, git add -A and git commit: the ledger is a git history",
    r"bad revision 'HEAD'|ambiguous argument 'HEAD'|Needed a single revision": "git add -A and git commit: nothing is committed here yet",
    r"'origin' does not appear to be": "git remote add origin URL, or git remote rename NAME origin",
}
DUBIOUS = re.compile(rb"dubious ownership in repository at '(.+?)'")


def ask(
    *arguments: str, stdin: bytes = b"", index: Path | None = None, settings: Iterable[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Runs `git ARGUMENTS`, whatever its exit code; `index` replaces the checkout's. Raises YourTurn if git refuses the folder."""
    flags = [word for setting in [*SETTINGS, *settings] for word in ("-c", setting)]
    done = process.run(
        ["git", "--no-pager", "--no-optional-locks", *flags, *arguments], ABSENT, stdin, _environment(index)
    )
    if done.returncode and (found := DUBIOUS.search(done.stderr)):
        folder = found[1].decode(errors="replace")
        problem = f"git reads nothing here: {folder} belongs to another user of this machine"
        raise YourTurn(problem, f"git config --global --add safe.directory '{folder}'")
    return done


def git(
    *arguments: str,
    stdin: bytes = b"",
    index: Path | None = None,
    settings: Iterable[str] = (),
    remedy: str = "mend that, then the same command again",
) -> bytes:
    """The output of `git ARGUMENTS`. Raises YourTurn with git's own message if it fails."""
    done = ask(*arguments, stdin=stdin, index=index, settings=settings)
    if done.returncode:
        line = telling_line(done.stderr.decode(errors="replace"))
        known = next((mend for words, mend in REMEDIES.items() if re.search(words, line)), remedy)
        raise YourTurn(f"git {arguments[0]}: {line}", known)
    return done.stdout


def text(*arguments: str, index: Path | None = None) -> str:
    return git(*arguments, index=index).decode(errors="replace").strip()


def paths(*arguments: str, index: Path | None = None) -> list[str]:
    """The paths that a command with -z lists, whatever their characters."""
    return [os.fsdecode(name) for name in git(*arguments, index=index).split(b"\0") if name]


def show(revision: str, path: str) -> bytes | None:
    """The file as it is in `revision`; None if there is none."""
    return contents([f"{revision}:{path}"])[0]


def contents(objects: list[str]) -> list[bytes | None]:
    """The stored content of each `REVISION:PATH`, by one call of git; None for a missing one."""
    output = git("cat-file", "--batch", stdin="".join(f"{name}\n" for name in objects).encode())
    found: list[bytes | None] = []
    place = 0
    while place < len(output):
        end = output.index(b"\n", place)
        kind, size = output[place:end].split(b" ")[-2:]
        length = int(size) if size.isdigit() else -1  # nothing follows the line that says `missing`
        found.append(output[end + 1 : end + 1 + length] if kind == b"blob" else None)
        place = end + 1 + length + 1
    return found


def exists(revision: str) -> bool:
    """Whether this clone has the commit: a shallow clone may not."""
    return not ask("cat-file", "-e", f"{revision}^{{commit}}").returncode


def precedes(commit: str, other: str) -> bool:
    """Whether `other` has the commit in its history, or is it; not where this clone has not both."""
    return not ask("merge-base", "--is-ancestor", commit, other).returncode


def refuse_shallow(what: str) -> None:
    """Raises YourTurn in a clone without its whole history, which could not say `what`."""
    if text("rev-parse", "--is-shallow-repository") == "true":
        raise YourTurn(f"this clone is shallow: {what} stands in the history that it lacks", "git fetch --unshallow")


def telling_line(stderr: str) -> str:
    """The line of git's output with the cause: the last error, else the last line before FRAME."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not FRAME.match(line.strip())]
    errors = [line for line in lines if line.startswith(("fatal:", "error:"))]
    last = (errors or lines or ["failed without a word"])[-1]
    return last.removeprefix("fatal: ").removeprefix("error: ")


def _environment(index: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or KEPT.match(name)}
    return kept | ENGLISH | ({"GIT_INDEX_FILE": str(index.absolute())} if index else {})
