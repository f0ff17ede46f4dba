"""A promotion: a commit here, a push to origin's branch, or a pull request that describes the consequences."""

import os

from scripts.github import gh, pull_requests
from scripts.ledger import blocks, consequences, door, history
from scripts.ledger.entries import Entry
from scripts.ledger.overlays import Overlay
from scripts.release.releases import Release
from scripts.workspace import actions, console, git, lock, remote
from scripts.workspace.errors import YourTurn

DEPLOYS = "deploy.yml"  # the workflow
BRANCH = "promote/"  # + ENV: the branch of a proposed promotion
NOT_RELEASED = ["k8s/**", "docs/**", "*.md"]  # as release.yml has it: no release has these in it


def was_rolled_back(environment: str, release: Release, reason: str, revision: str = "HEAD") -> bool:
    """Whether this release was rolled back there, and no reason is given to promote it again.

    A release that failed by itself may be tried again.
    """
    why = history.taken_back(Overlay(environment).history(revision)).get(release.name)
    if why is None or reason.strip():
        return False
    text = f"release {release.name} was rolled back in {environment} ({why}): it comes back only with a --reason"
    _say_skipped(text)
    return True


def came_later(environment: str, release: Release, reason: str, revision: str) -> bool:
    """Whether the environment, as of `revision`, has another release of a later push than HEAD, and no reason is given to go back.

    Otherwise a repeated workflow run of an old push would bring an old release back. A release that is known may have come by a push later
    than its own commit: the ledger says by which; and if `revision` has the code of that commit again, what came between is reverted.
    """
    there, here = Overlay(environment).release(revision), git.text("rev-parse", "HEAD")
    if not there or there.name == release.name or reason.strip():
        return False
    made = there.document["commit"] or ""
    pushes = [entry.push for entry in Overlay(environment).history(revision) if entry.push]
    reverted = _has_code_of(revision, made) and not _has_code_of(revision, here)
    if not reverted and not any(_precedes(here, commit) for commit in [made, *pushes[-1:]]):
        return False
    text = f"{environment} has release {there.name} of a later push: what this one made comes back only by a promotion with a --reason"
    _say_skipped(text)
    return True


def _precedes(commit: str, other: str) -> bool:
    return commit != other and git.exists(other or "-") and git.precedes(commit, other)


def _has_code_of(revision: str, commit: str) -> bool:
    """Whether nothing of which releases are made differs between the two."""
    if not git.exists(commit or "-"):
        return False
    paths = [".", *(f":(exclude,glob){pattern}" for pattern in NOT_RELEASED)]
    return not git.ask("diff", "--quiet", "--no-ext-diff", commit, revision, "--", *paths).returncode


def _say_skipped(text: str) -> None:
    console.say(f"  skipped    {text}")
    actions.annotate("warning", text)


def commit(environment: str, release: Release, entry: Entry) -> None:
    """Promotes `release` by a commit in this checkout."""
    with lock.held("promote"):
        made = Overlay(environment).write(release, "HEAD", entry)
    console.say(
        f"  promote    {environment}: release {release.name}, version {release.version}, in commit {made[:12]}"
        if made
        else f"  promote    {environment} has release {release.name} already: nothing to commit"
    )
    console.say(f"next: ./pipeline deploy {environment}")


def publish(environment: str, release: Release, entry: Entry, by: str, dispatch: bool, candidate: bool = False) -> None:
    """Promotes `release` on top of origin's branch, again whenever somebody else pushes first; this checkout stays as it is.

    `candidate`: the release was made of the commit checked out here.
    """
    branch, overlay = remote.branch(), Overlay(environment)
    for _ in range(remote.ATTEMPTS):
        base = remote.fetch(branch)
        blocks.refuse(release, environment, base)
        if was_rolled_back(environment, release, entry.reason, base):
            return
        if candidate and came_later(environment, release, entry.reason, base):
            return
        commit = overlay.commit(release, base, entry, base)
        if not commit:
            console.say(f"  promote    {environment} has release {release.name} already: nothing to commit")
            actions.output(promoted=environment)
            if dispatch and by == "commit":  # the run that pushed it may have been killed before this
                _start_deployment(environment, branch)
            return
        try:
            if by == "commit":
                _push(environment, release, commit, branch, dispatch)
            else:
                _propose(environment, release, commit, base, branch, "")
            return
        except remote.Stale:
            continue
        except remote.Protected as error:
            _propose(environment, release, commit, base, branch, str(error))
            return
    raise YourTurn(f"others push to {branch} faster than this does", "the same command again")


def _push(environment: str, release: Release, commit: str, branch: str, dispatch: bool) -> None:
    remote.push(commit, branch)
    console.say(f"  promote    {environment}: release {release.name}, commit {commit[:12]} on origin's {branch}")
    actions.output(promoted=environment)
    actions.summary(f"{environment} is to serve release `{release.label}`.")
    if dispatch:
        _start_deployment(environment, branch)


def _start_deployment(environment: str, branch: str) -> None:
    """Starts the workflow: a push by a workflow's own token does not. Deploying the release that serves changes nothing."""
    request = {"ref": branch, "inputs": {"environment": environment}}
    gh.api("POST", f"actions/workflows/{DEPLOYS}/dispatches", request, os.environ.get("DISPATCH_TOKEN"))


def _propose(environment: str, release: Release, commit: str, base: str, branch: str, protected: str) -> None:
    if protected:
        text = f"{branch} takes no push from here ({protected}): the promotion to {environment} is proposed instead"
        console.say(f"  protected  {text}")
        actions.annotate("warning", text)
    title = git.text("log", "-1", "--format=%s", commit)
    body = consequences.describe(environment, release, Overlay(environment).release(base), base, commit)
    closed = "" if door.is_overridden(environment, commit) else door.closed(environment)
    verdict = f"release {release.name} is verified where it comes from, and {environment} renders with it"
    then = f"{closed}; then start the workflow promote again"
    pull_requests.propose(
        commit, f"{BRANCH}{environment}", branch, title, body, then if closed else verdict, not closed
    )
