"""Blocked releases, which must not be deployed any more: k8s/overlays/blocked.json, the reason by the release's name."""

import json
from collections.abc import Callable

from scripts.github import pull_requests
from scripts.ledger import overlays
from scripts.ledger.overlays import FOLDER
from scripts.release.releases import Release
from scripts.workspace import commits, console, git, remote
from scripts.workspace.errors import YourTurn

FILE = "blocked.json"
Blocks = dict[str, str]  # the reason by the release's name


def read(revision: str = "HEAD") -> Blocks:
    """The blocks in `revision`. Raises YourTurn if the file is not in the form that `block` writes."""
    path = f"{FOLDER}/{FILE}"
    try:
        found = json.loads(git.show(revision, path) or b"{}")
    except ValueError as error:
        raise YourTurn(f"{path} is corrupt: {error}", f"git log -p {path}, and restore it") from None
    if not isinstance(found, dict) or not all(isinstance(reason, str) for reason in found.values()):
        raise YourTurn(f"{path} is no mapping of releases to reasons", f"git log -p {path}, and restore it")
    return found


def of(environment: str, revision: str = "HEAD") -> Blocks:
    """The blocks that hold for `environment`: none for `local`, where anything may be tried."""
    return {} if environment == "local" else read(revision)


def refuse(release: Release, environment: str, revision: str = "HEAD") -> None:
    """Raises YourTurn if `release` is blocked."""
    if reason := of(environment, revision).get(release.name):
        problem = f"release {release.name} is blocked ({reason}), and {environment} is not to have it"
        raise YourTurn(problem, f'another release, or ./pipeline unblock {release.name} --reason "…"')


def serving(release: Release) -> list[str]:
    """The environments whose ledger names this release."""
    return [name for name, served in overlays.released().items() if served.name == release.name]


def change(subject: str, change: Callable[[Blocks], Blocks], publish: bool) -> bool:
    """Commits the changed blocks: on HEAD, or with `publish` on top of origin's branch. Returns False if nothing changes."""
    if publish:
        return _publish(subject, change)
    commits.refuse_under_way()
    head = git.text("rev-parse", "HEAD")
    commits.refuse_changes(f"{FOLDER}/{FILE}", _tree(change, head))
    made = commits.commit(_tree(change, head), head, subject)
    if made:
        commits.advance(made, head, f"{FOLDER}/{FILE}")
        console.say(f"  ledger     {FOLDER}/{FILE} says so: commit {made[:12]}; git push")
    return bool(made)


def _publish(subject: str, change: Callable[[Blocks], Blocks]) -> bool:
    branch = remote.branch()
    for _ in range(remote.ATTEMPTS):
        base = remote.fetch(branch)
        commit = commits.commit(_tree(change, base), base, subject)
        if not commit:
            return False
        try:
            remote.push(commit, branch)
        except remote.Stale:
            continue
        except remote.Protected as error:
            title, body = subject.partition("\n")[0], f"{branch} takes no push from here ({error}).\n\n{subject}"
            pull_requests.propose(commit, "ledger/blocked", branch, title, body, "it changes no environment")
        return True
    raise YourTurn(f"others push to {branch} faster than this does", "the same command again")


def _tree(change: Callable[[Blocks], Blocks], parent: str) -> str:
    """The tree of the commit; it has no blocked.json if nothing is blocked."""
    after = dict(sorted(change(read(parent)).items()))
    content = (json.dumps(after, indent=2, ensure_ascii=False) + "\n").encode() if after else None
    return commits.with_folder(parent, str(FOLDER), parent, {FILE: content})
