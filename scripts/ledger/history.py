"""What the commits of an environment did there: read from their files, since a message can be reworded, squashed or extended.

`ledger.json` in the overlay is the entry of the last promotion, rollback or return. A commit whose `ledger.json` was there before, or
speaks of another release, was made by hand: a revert where it brings an earlier release back, else an edit.
"""

import datetime
import json
from dataclasses import dataclass
from typing import Any

from scripts.ledger.entries import Entry
from scripts.workspace import git

FILE = "ledger.json"
TEXTS = ["action", "release", "outcome", "reason", "override", "push", "on"]
FIELDS = [*TEXTS, "taken_back"]
TRAILERS = ["Action", "Release", "Outcome", "Reason"]  # in the messages of commits older than ledger.json
FORMAT = "%x01" + "%x00".join(
    ["%H", "%ct", "%s", *(f"%(trailers:key={key},valueonly,unfold,separator=%x20)" for key in TRAILERS)]
)
NO_RELEASE = "–"


@dataclass(frozen=True)
class Commit:
    hash: str
    seconds: str
    subject: str
    trailers: list[str]

    @property
    def time(self) -> str:
        return datetime.datetime.fromtimestamp(int(self.seconds), datetime.UTC).isoformat()


def read(folder: str, revision: str) -> list[Entry]:
    """An entry for each commit up to `revision` that changed something below `folder`, oldest first."""
    log = git.git("log", "--reverse", "--topo-order", f"--format={FORMAT}", revision, "--", f"{folder}/")
    fields = [text.rstrip("\n").split("\0") for text in log.decode(errors="replace").split("\x01")[1:]]
    commits = [Commit(*first, trailers) for *first, trailers in ((*f[:3], f[3:]) for f in fields)]
    documents = git.contents([f"{c.hash}:{folder}/{file}" for c in commits for file in (FILE, "release.json")])
    entries: list[Entry] = []
    seen: set[bytes | None] = set()
    for commit, record, release in zip(commits, documents[::2], documents[1::2], strict=True):
        said = _read(record) if record not in seen else {}
        entries.append(_entry(commit, said, _label(release), entries))
        seen.add(record)
    return entries


def to_document(entry: Entry, parent: str) -> bytes:
    """`ledger.json`. The parent commit distinguishes it from an equal entry at another time."""
    document = {key: getattr(entry, key) for key in FIELDS if getattr(entry, key)} | {"on": parent}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def taken_back(entries: list[Entry]) -> dict[str, str]:
    """The releases that were rolled back or reverted, and not promoted again since: why, by name.

    Each ledger.json repeats the earlier ones, for a history that is squashed or shallow.
    """
    found: dict[str, str] = {}
    before = NO_RELEASE
    for entry in entries:
        found |= entry.taken_back
        if entry.action in ("rollback", "revert") and before not in (NO_RELEASE, entry.release):
            found[_name(before)] = entry.reason
        found.pop(_name(entry.release), None)
        before = entry.release
    return found


def bringing(entries: list[Entry], name: str) -> Entry | None:
    """The entry that brought the release called `name` last; an edit around a release brings none."""
    before, found = NO_RELEASE, None
    for entry in entries:
        if _name(entry.release) == name and (entry.action == "promote" or entry.release != before):
            found = entry
        before = entry.release
    return found


def _entry(commit: Commit, said: dict[str, Any], label: str, before: list[Entry]) -> Entry:
    if said.get("release") == label:
        return Entry(commit.time, commit=commit.hash, **{key: said[key] for key in FIELDS if key in said})
    action, release, outcome, reason = commit.trailers
    if action and release == label:
        return Entry(commit.time, action, label, outcome, reason, commit=commit.hash)
    labels = [entry.release for entry in before]
    if labels and label != labels[-1] and label in [*labels, NO_RELEASE]:
        return Entry(commit.time, "revert", label, "promoted", commit.subject, commit=commit.hash)
    return Entry(commit.time, "edit", label, "promoted", commit.subject, commit=commit.hash)


def _read(document: bytes | None) -> dict[str, Any]:
    """The parsed ledger.json; empty if a conflict or a person has broken its form: then the commit was made by hand."""
    try:
        said = json.loads(document or b"{}")
    except ValueError:
        return {}
    whole = isinstance(said, dict) and {"action", "release", "outcome"} <= said.keys()
    texts = whole and all(isinstance(said.get(key, ""), str) for key in TEXTS)
    return said if texts and isinstance(said.get("taken_back", {}), dict) else {}


def _label(document: bytes | None) -> str:
    try:
        release = json.loads(document or b"")
        return f"{release['version']}-{release['id'][:12]}"
    except (ValueError, KeyError, TypeError):
        return NO_RELEASE


def _name(label: str) -> str:
    return label.partition("-")[2]
