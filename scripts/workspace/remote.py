"""The remote `origin`: its address, pushes to it, and its refusals."""

import re
import shutil

from scripts.workspace import checkout, git, process
from scripts.workspace.errors import YourTurn

ATTEMPTS = 8  # one fails only if somebody else pushed within the same second

URL = re.compile(r"([\w+.-]+)://(?:[^/]*@)?([^/:]+)(?::\d*)?(/.*)")
SCP = re.compile(r"(?:([^@/]+)@)?([^:/]+):(?!//)(.+)")  # USER@HOST:PATH, as ssh has it
GITHUB = {"github.com", "www.github.com", "ssh.github.com"}  # the last answers on port 443


class Stale(Exception):
    """Somebody else has pushed meanwhile."""


class Protected(Exception):
    """The branch takes no push from us; the message is the remote's reason."""


def branch() -> str:
    """The branch of the ledger: the one checked out, or main if HEAD is detached."""
    return checkout.branch() or "main"


def fetch(name: str) -> str:
    """The commit that origin has as branch `name`."""
    refspec = f"+refs/heads/{name}:refs/remotes/origin/{name}"
    git.git("fetch", "--quiet", "--no-recurse-submodules", "origin", refspec, settings=_credentials())
    return git.text("rev-parse", f"refs/remotes/origin/{name}")


def push(commit: str, name: str, force: bool = False) -> None:
    """Pushes `commit` to the branch `name`. Raises Stale, Protected, or YourTurn for any other failure."""
    refspec = f"{'+' if force else ''}{commit}:refs/heads/{name}"
    done = git.ask("push", "--porcelain", "--quiet", "origin", refspec, settings=_credentials())
    if not done.returncode:
        return
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    words = " ".join(f"{out} {err}".split())
    if re.search(r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value", words):
        raise Stale
    if "[remote rejected]" in words:
        raise Protected(_reason(err))
    raise YourTurn(f"git push: {git.telling_line(err)}", "see that this account may push, then the same command again")


def _reason(stderr: str) -> str:
    """The remote's own message, without git's lines around it."""
    lines = [line.removeprefix("remote:").strip(" -") for line in stderr.splitlines() if line.startswith("remote:")]
    return " ".join(filter(None, lines)) or "the branch is protected"


def _credentials() -> list[str]:
    """Settings that take gh's credentials, if gh is there: a job's checkout holds none."""
    return ["credential.helper=!gh auth git-credential"] if shutil.which("gh") else []


def on_github() -> str:
    """OWNER/NAME of the remote `origin`; empty if it is not on GitHub."""
    return next(filter(None, map(_name_on_github, _addresses())), "")


def source() -> str:
    """The URL of the remote `origin`, without credentials; empty for a path, which means nothing on another computer."""
    if name := on_github():
        return f"https://github.com/{name}"
    url = re.sub(r"//[^/@]*@", "//", next(iter(_addresses()), ""))
    return url if "://" in url or url.startswith("git@") else ""


def _addresses() -> list[str]:
    """The address as it is written, and after git's `insteadOf`: either may be GitHub's."""
    commands = [["config", "remote.origin.url"], ["remote", "get-url", "origin"]]
    found = [git.ask(*command).stdout.decode(errors="replace").strip() for command in commands]
    return [address for address in dict.fromkeys(found) if address]


def _name_on_github(address: str) -> str:
    host, path = _parts(address)
    name = re.fullmatch(r"/*([\w.-]+)/([\w.-]+?)(?:\.git)?/*", path)
    return f"{name[1]}/{name[2]}" if name and host in GITHUB else ""


def _parts(address: str) -> tuple[str, str]:
    """Host and path. An ssh host may be an alias in the user's configuration, which ssh resolves."""
    if match := URL.fullmatch(address):
        host, path, by_ssh = match[2].lower(), match[3], "ssh" in match[1]
    elif match := SCP.fullmatch(address):
        host, path, by_ssh = match[2].lower(), match[3], True
    else:
        return "", address
    return (_resolved(host) if by_ssh and host not in GITHUB else host), path


def _resolved(host: str) -> str:
    if host.startswith("-") or not shutil.which("ssh"):
        return host
    done = process.text(["ssh", "-G", host], YourTurn("ssh is not installed", "install ssh"))
    found = re.search(r"(?m)^hostname (.+)$", done.stdout)
    return found[1].lower() if found else host
