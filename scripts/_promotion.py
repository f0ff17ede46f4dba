"""A promotion that others see: pushed to origin's branch, or proposed there with its consequences."""

from scripts import _consequences, _console, _git, _github, _pull_request, _remote
from scripts._delivery import Entry
from scripts._errors import YourTurn
from scripts._overlay import Overlay
from scripts._release import Release

DEPLOYS = "deploy.yml"  # the workflow


def was_rolled_back(environment: str, release: Release, reason: str) -> bool:
    """Whether the last that happened there is that somebody took this very release back, and nobody gives a reason to bring it again.

    What failed by itself may try again.
    """
    history = Overlay(environment).history()[-2:]
    labels, action = [entry.release for entry in history], history[-1].action if history else ""
    if reason.strip() or action != "rollback" or release.label not in labels[:-1] or release.label == labels[-1]:
        return False
    text = f"release {release.name} was rolled back in {environment} ({history[-1].reason}): it comes back only with a --reason"
    _console.say(f"  skipped    {text}")
    _github.annotate("warning", text)
    return True


def publish(environment: str, release: Release, entry: Entry, by: str, dispatch: bool) -> None:
    """On top of what origin has now, as often as somebody else is faster; the checkout here stays as it is."""
    branch = _remote.branch()
    for _ in range(_remote.ATTEMPTS):
        with _remote.on_top_of(base := _remote.fetch(branch)):
            if was_rolled_back(environment, release, entry.reason):
                return
            before = Overlay(environment).release()
            commit = Overlay(environment).write(release, "HEAD", entry)
            if not commit:
                _console.say(f"  promote    {environment} has release {release.name} already: nothing to commit")
                _github.output(promoted=environment)
                return
            try:
                if by == "commit":
                    _push(environment, release, branch, dispatch)
                else:
                    _propose(environment, release, before, base, branch, "")
                return
            except _remote.Stale:
                continue
            except _remote.Protected as error:
                _propose(environment, release, before, base, branch, str(error))
                return
    raise YourTurn(f"others push to {branch} faster than this does", "the same command again")


def _push(environment: str, release: Release, branch: str, dispatch: bool) -> None:
    _remote.push(branch)
    commit = _git.text("rev-parse", "HEAD")
    _console.say(f"  promote    {environment}: release {release.name}, commit {commit[:12]} on origin's {branch}")
    _github.output(promoted=environment)
    _github.summary(f"{environment} is to serve release `{release.label}`.")
    if dispatch:  # a push by a workflow's own token starts no workflow
        request = {"ref": branch, "inputs": {"environment": environment}}
        _github.api("POST", f"actions/workflows/{DEPLOYS}/dispatches", request)


def _propose(
    environment: str, release: Release, before: Release | None, base: str, branch: str, protected: str
) -> None:
    if protected:
        text = f"{branch} takes no push from here ({protected}): the promotion to {environment} is proposed instead"
        _console.say(f"  protected  {text}")
        _github.annotate("warning", text)
    title = _git.text("log", "-1", "--format=%s")
    body = _consequences.describe(environment, release, before, base)
    verdict = f"release {release.name} is verified where it comes from, and {environment} renders with it"
    _pull_request.propose(f"promote/{environment}", branch, title, body, verdict)
