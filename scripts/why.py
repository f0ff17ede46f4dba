"""Why ENV answers as it does: from its release back to the commits, the approval, the metrics and the verification

From git, and from the registry where it can be reached. --release explains a release that served there earlier.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from scripts.environments import causes, lookup
from scripts.reports import wording
from scripts.workspace import console

SHOWN = 5  # lines of a list: all of it is one screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    lookup.add_argument(parser)
    parser.add_argument("--release", metavar="RELEASE", help="its name or version, as history shows them")
    console.add_json(parser)


def run(environment: str, release: str | None, json: str | None) -> int:
    found = causes.find(lookup.find(environment), release)
    if console.write_json(json, found):
        serves = "serves" if found["serves"] else "served"
        console.tell(f"{environment} {serves} release {found['release']}, by its ledger\n")
        for label, text in _lines(found):
            console.tell(f"  {label:<10} {text}".rstrip())
        if found["serves"]:
            console.say(f"next: ./pipeline verify {environment}, which asks the servers")
    return 0


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Label and text of each line; a further line of the same thing has no label."""
    yield "since", _act(found["act"])
    yield from (("then", _act(entry)) for entry in found["then"][:SHOWN])
    if found["until"]:
        yield "until", _act(found["until"])
    yield "verified", " – ".join(filter(None, (_time(found["verified"]["time"]), found["verified"]["how"])))
    if found["approved"]:
        yield "approved", _approval(found["approved"])
    yield from (("canary", saw) for saw in found["canary"])
    yield "image", "@".join(found["image"].values()) if found["image"] else "in no registry"
    yield "registry", _attached(found["attached"])
    yield "made of", _commit(found["commit"]) + ", with changes that no commit holds" * found["dirty"]
    yield from _listed("commits", found["commits"], f"since release {found['before']}" if found["before"] else "")
    for model in found["models"]:
        yield model["name"][:10], ", ".join(map(_metric, model["metrics"])) or "no metrics"
        what = f"of {model['compared']} golden examples that the release before has too"
        yield from _listed("answers", model["changed"], f"changed, {what}")


def _act(entry: dict[str, Any]) -> str:
    commit = f", commit {entry['commit'][:12]}" if entry.get("commit") else ""
    why = "; ".join(filter(None, (entry["reason"], entry.get("override") and f"while closed: {entry['override']}")))
    return f"{_time(entry['time'])}  {entry['action']} {entry['release']}{commit}{f': {why}' if why else ''}"


def _time(text: str) -> str:
    return text.removesuffix("+00:00").replace("T", " ")


def _approval(approved: dict[str, Any]) -> str:
    if approved["how"] == "merge":
        by = f"{approved['by']} merged it, commit {approved['commit'][:12]}"
    elif approved["how"] == "commit":
        by = f"nobody is asked here (by = commit); {approved['by']} committed it"
    else:
        by = f"git has no merge of it; {approved['by']} committed it"
    return f"{by}; reviewed by {approved['reviewers']}" if approved["reviewers"] else by


def _attached(attached: dict[str, Any]) -> str:
    if attached["there"]:
        return f"has it, with {', '.join(attached['kinds']) or 'nothing attached'}"
    return attached["why"] if attached["there"] is False else "could not be asked; --json - says why"


def _commit(commit: dict[str, str] | None) -> str:
    if not commit:
        return "a commit that is not in this clone"
    return f"{commit['hash'][:12]} {commit['subject']} ({commit['author']}, {commit['time'][:10]})"


def _metric(metric: dict[str, Any]) -> str:
    notes = [f"must be {metric['bound']}" if metric["bound"] else ""]
    notes += [f"before {wording.number(metric['before'])}" if metric["before"] is not None else ""]
    words = ", ".join(filter(None, notes))
    return f"{metric['metric']} {wording.number(metric['value'])}{f' ({words})' if words else ''}"


def _listed(label: str, lines: list[str], what: str) -> Iterator[tuple[str, str]]:
    yield label, f"{len(lines)} {what}".rstrip()
    yield from (("", line) for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield "", f"… and {len(lines) - SHOWN} more; --json - has all"
