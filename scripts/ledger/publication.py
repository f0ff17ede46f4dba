"""The ledger's commits that only this clone has, and their way to origin."""

from pathlib import Path

from scripts.github import pull_requests
from scripts.ledger import history
from scripts.ledger.entries import Entry
from scripts.ledger.overlays import FOLDER, Overlay
from scripts.workspace import actions, console, git, remote
from scripts.workspace.errors import YourTurn


def publish() -> None:
    """Pushes the ledger's commits. Raises YourTurn if there are other commits among them: the pipeline must not push those."""
    branch = remote.branch()
    for _ in range(remote.ATTEMPTS):
        base = remote.fetch(branch)
        commits = git.text("rev-list", "--reverse", "--no-merges", f"{base}..HEAD").split()
        if not commits:
            console.say(f"  publish    origin's {branch} has all that the ledger says here")
            return
        entries = [(commit, *_entry(commit)) for commit in commits]
        head = base
        for commit, environment, entry in entries:
            head = _repeat(commit, base, environment, entry, head) or head
        if head == base:
            return
        try:
            remote.push(head, branch)
        except remote.Stale:
            continue
        except remote.Protected as error:
            _propose(head, branch, entries[-1][1], str(error))
            return
        subject = git.text("log", "-1", "--format=%s", head)
        console.say(f"  publish    {len(commits)} to origin's {branch}: {subject}")
        return
    raise YourTurn(f"others push to {branch} faster than this does", "./pipeline publish")


def _entry(commit: str) -> tuple[str, Entry]:
    """The environment and the entry of a commit of the ledger."""
    paths = git.paths("diff-tree", "--no-commit-id", "--name-only", "-r", "-z", commit)
    environments = {Path(path).relative_to(FOLDER).parts[0] for path in paths if Path(path).is_relative_to(FOLDER)}
    subject = git.text("log", "-1", "--format=%h %s", commit)
    if len(environments) == 1 and all(Path(path).is_relative_to(FOLDER) for path in paths):
        name = environments.pop()
        entry = Overlay(name).history(commit)[-1]
        if f"{FOLDER / name}/{history.FILE}" in paths and entry.action not in ("edit", "revert"):
            return name, entry
    raise YourTurn(
        f"commit {subject} is not the ledger's, and not pushed", "git push, or take it out; then ./pipeline publish"
    )


def _repeat(commit: str, base: str, environment: str, entry: Entry, head: str) -> str | None:
    """The same commit on top of `head`. If somebody else has changed that overlay meanwhile, only its release is changed."""
    overlay = Overlay(environment)
    release = overlay.release(commit)
    parent = git.text("merge-base", commit, base)
    if _is_there(overlay, entry, parent, base):
        console.say(f"  publish    origin has the {entry.action} of {environment} already; what came after it stands")
        return None
    touched = git.text("diff-tree", "-r", "--name-only", parent, base, "--", str(overlay.folder))
    if touched and entry.action in ("return", "canary"):
        console.say(
            f"  publish    {environment} was promoted to another release meanwhile: that stands, and is deployed next"
        )
        return None
    return overlay.commit(release, head if touched else commit, entry, head) if release else None


def _is_there(overlay: Overlay, entry: Entry, parent: str, base: str) -> bool:
    """Whether an earlier `publish` that was interrupted has already pushed the entry."""
    since = overlay.history(base)[len(overlay.history(parent)) :]
    return any((e.action, e.release, e.reason) == (entry.action, entry.release, entry.reason) for e in since)


def _propose(commit: str, branch: str, environment: str, reason: str) -> None:
    title = git.text("log", "-1", "--format=%s", commit)
    text = f"{branch} takes no push from here ({reason}): the ledger of {environment} is corrected by a pull request instead; merge it"
    console.say(f"  protected  {text}")
    actions.annotate("warning", text)
    message = git.text("log", "-1", "--format=%B", commit)
    body = f"What {environment} serves already:\n\n```\n{message}\n```\n\nUntil this is merged, `status` is red."
    pull_requests.propose(commit, f"ledger/{environment}", branch, title, body, f"{environment} serves it already")
