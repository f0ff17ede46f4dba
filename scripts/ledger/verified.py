"""When an environment was verified to serve what its ledger says: the branch verified/ENV.

A promotion is committed before it is deployed, so its own commit cannot say how that ended. After a verified deployment the workflow adds a
commit to that branch: its tree is what was deployed, its time is the verification's. Main stays as it is, and no check starts.
"""

import contextlib
import datetime

from scripts.ledger import history
from scripts.ledger.entries import Entry
from scripts.ledger.overlays import FOLDER
from scripts.ledger.stays import Stay
from scripts.workspace import actions, commits, console, git, remote
from scripts.workspace.errors import YourTurn

BRANCH = "verified/"  # + ENV
REMOTE = "refs/remotes/origin/"


def note(environment: str) -> None:
    """Records on origin that `environment` was verified to serve what HEAD says. Nothing is added where the record before says the same."""
    branch = f"{BRANCH}{environment}"
    for _ in range(remote.ATTEMPTS):
        with contextlib.suppress(YourTurn):  # before the first record there is no such branch
            remote.fetch(branch)
        before = _record(environment)
        made = commits.commit(git.text("rev-parse", "HEAD^{tree}"), before, _message(environment))
        if not made:
            return
        try:
            remote.push(made, branch)
        except remote.Stale:
            continue
        except remote.Protected as error:
            text = f"origin takes no branch {branch} from here ({error}): git will not say when this was verified"
            console.say(f"  skipped    {text}")
            actions.annotate("warning", text)
            return
        console.say(f"  verified   {environment}: recorded in commit {made[:12]} on origin's {branch}")
        return
    raise YourTurn(f"others push to {branch} faster than this does", "the same command again")


def times(environment: str) -> dict[bytes, int]:
    """The seconds since the epoch at which each ledger.json was first verified in `environment`, by its content; as this clone knows it."""
    record = _record(environment)
    if not record:
        return {}
    lines = [line.split() for line in git.text("log", "--format=%H %ct", record).splitlines()]
    documents = git.contents([f"{commit}:{FOLDER / environment}/{history.FILE}" for commit, _ in lines])
    return {document: int(time) for document, (_, time) in zip(documents, lines, strict=True) if document}


def of(stay: Stay, name: str, following: dict[str, list[Entry]]) -> dict[str, str]:
    """Whether and when the release of `stay` was verified in the environment `name`.

    `known` is verified, failed, likely or unknown; `time` is ISO 8601, empty where git does not know it; `how` says from what it is known.
    """
    act = stay.act
    if failed := stay.failure():
        return {"time": "", "known": "failed", "how": failed}
    if served := next((entry for entry in stay.entries if entry.outcome == "serving"), None):
        how = f"a {served.action} is written down once it is verified"
        return {"time": served.time, "known": "verified", "how": how}
    record = git.show(act.commit, f"{FOLDER / name}/{history.FILE}")
    if seconds := times(name).get(record or b""):
        time = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
        return {"time": time, "known": "verified", "how": f"recorded on the branch {BRANCH}{name}"}
    if takers := [after for after, entries in following.items() if any(_is_later(entry, act) for entry in entries)]:
        how = f"{takers[0]} took it over afterwards, which the workflow does once {name} is verified"
        return {"time": "", "known": "likely", "how": how}
    how = "git does not say: it was committed before it was deployed, and nothing took it back"
    return {"time": "", "known": "unknown", "how": how}


def _is_later(entry: Entry, act: Entry) -> bool:
    return (entry.action, entry.release) == ("promote", act.release) and entry.time >= act.time


def _record(environment: str) -> str | None:
    """The newest record; None before the first."""
    done = git.ask("rev-parse", "--verify", "--quiet", f"{REMOTE}{BRANCH}{environment}")
    return done.stdout.decode().strip() or None


def _message(environment: str) -> str:
    head = git.text("rev-parse", "HEAD")
    return (
        f"{environment}: verified\n\nIt serves what commit {head} says, and every server answers every golden example."
    )
