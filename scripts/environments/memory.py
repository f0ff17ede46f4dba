"""What a cluster remembers of its deployments: the ConfigMap `deployments` in the environment's namespace.

It lists what was applied, so that it can be pruned; which releases were verified, so that one can be put back; an act that was started
and not finished, so that the same command continues it; and how far a canary has come. If somebody edits or deletes it, it is rebuilt from
git and the cluster.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from scripts.ledger.entries import Entry
from scripts.ledger.history import NO_RELEASE, bringing, taken_back

NAME = "deployments"
REMEMBERED = 50  # releases: more than any rollback needs


def _lines(*required: str, **more: Any) -> dict[str, Any]:
    """The JSON schema of an object whose values are strings."""
    properties = {key: {"type": "string"} for key in required} | more
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


OPTIONAL = {key: {"type": "string"} for key in ("reason", "override")}  # of an Entry
KNOWN: dict[str, Any] = {
    "inventory": {"type": "array", "items": {"type": "string", "pattern": r"^\S+ \S+ \S+$"}},  # API version, kind, name
    "served": {"type": "array", "items": _lines("release", "revision", "action", "time", deployed={"type": "string"})},
    "taken_back": {"type": "object", "additionalProperties": _lines("reason", "promotion")},
    "begun": {"anyOf": [{"type": "null"}, _lines("time", "action", "release", "outcome", **OPTIONAL)]},
}
LINES = {"type": "array", "items": {"type": "string"}}
KNOWN["canary"] = {"anyOf": [{"type": "null"}, _lines("release", "failed", saw=LINES)]}
SCHEMA = {"type": "object", "properties": KNOWN, "required": ["inventory", "served"], "additionalProperties": False}


class Unreadable(Exception):
    """Somebody has edited the ConfigMap; the message says what is wrong."""


@dataclass(frozen=True)
class Memory:
    inventory: list[str] = field(default_factory=list)  # "API_VERSION KIND NAME" of what was applied
    served: list[dict[str, str]] = field(default_factory=list)  # oldest first, each release once, in its newest place
    begun: dict[str, Any] | None = None  # an Entry
    canary: dict[str, Any] | None = (
        None  # {"release", "saw": a line for each step that is done, "failed": why, if it has}
    )
    # Releases that were left for a reason, by name, with the promotion that had brought each: git's history can be rewritten.
    taken_back: dict[str, dict[str, str]] = field(default_factory=dict)

    def with_served(self, entry: Entry, revision: str) -> "Memory":
        """`deployed` is the revision of the manifests at the release's own deployment: a rollback uses those of another day."""
        before = next((line for line in self.served if line["release"] == entry.release), {})
        deployed = before.get("deployed", revision) if entry.action == "rollback" else revision
        line = {"release": entry.release, "revision": revision, "action": entry.action, "time": entry.time}
        others = [known for known in self.served if known["release"] != entry.release]
        return replace(self, served=[*others, line | {"deployed": deployed}][-REMEMBERED:])

    def with_taken_back(self, entries: list[Entry]) -> "Memory":
        """`entries` is the ledger, with the release that serves now as the last."""
        found = {
            name: {"reason": why, "promotion": _promotion(entries, name)} for name, why in taken_back(entries).items()
        }
        present = entries[-1].release.partition("-")[2]
        kept = {name: left for name, left in self.taken_back.items() if self.why_not(name, entries)}
        return replace(self, taken_back={name: left for name, left in (kept | found).items() if name != present})

    def why_not(self, name: str, entries: list[Entry]) -> str:
        """Why the release `name` was taken back, if no promotion with a reason in the ledger came after that."""
        left, brought = self.taken_back.get(name), bringing(entries, name)
        if not left or (brought and brought.reason and _promotion(entries, name) != left["promotion"]):
            return ""
        return left["reason"]

    def with_inventory(self, identities: list[str]) -> "Memory":
        return replace(self, inventory=identities)

    def with_begun(self, entry: Entry | None) -> "Memory":
        """An act that is finished leaves no canary."""
        return replace(self, begun=entry.to_dict()) if entry else replace(self, begun=None, canary=None)

    def with_canary(self, release: str, saw: list[str], failed: str = "") -> "Memory":
        return replace(self, canary={"release": release, "saw": saw, "failed": failed})

    def is_canary(self, release: str) -> bool:
        return self.canary is not None and self.canary["release"] == release

    def canary_of(self, release: str) -> dict[str, Any]:
        """How far the canary of that release has come, which may be nowhere."""
        none = {"release": release, "saw": [], "failed": ""}
        return none | self.canary if self.canary and self.is_canary(release) else none

    def canary_lines(self) -> list[str]:
        """What to say of a canary that is there: nothing, or one line."""
        if not self.canary:
            return []
        saw, failed = self.canary["saw"], self.canary["failed"]
        said = f" and has failed: {failed}" if failed else f"; it saw: {'; '.join(saw)}" if saw else ""
        return [f"a canary of {self.canary['release']} answers a share of the requests{said}"]

    def data(self) -> dict[str, str]:
        return {key: json.dumps(value, indent=1) for key, value in asdict(self).items()}


def read(data: dict[str, str]) -> Memory:
    """The memory in the ConfigMap's data. Raises Unreadable."""
    try:
        document = {key: json.loads(value) for key, value in data.items() if key in KNOWN}
    except ValueError as error:
        raise Unreadable(f"no JSON: {error}") from None
    import fastjsonschema

    try:
        _validator()(document)
    except fastjsonschema.JsonSchemaException as error:
        raise Unreadable(str(error)) from None
    served = {
        line["release"]: line for line in document["served"]
    }  # older files have several lines a release: the newest counts
    order = dict.fromkeys(reversed([line["release"] for line in document["served"]]))
    newest = [served[label] for label in reversed(order)]
    return Memory(
        document["inventory"],
        newest,
        document.get("begun"),
        document.get("canary"),
        document.get("taken_back", {}),
    )


def _promotion(entries: list[Entry], name: str) -> str:
    """What tells the last promotion of that release from any other, and stays when its commit is rebased or squashed."""
    entry = bringing(entries, name)
    return f"{entry.on} {entry.reason}" if entry else ""


@cache
def _validator():
    import fastjsonschema

    return fastjsonschema.compile(SCHEMA)


def recalled(history: list[Entry], running: str | None, inventory: list[str], revision: str) -> Memory:
    """The memory without a ConfigMap: the deployments in git that did not fail and, as the newest, what runs there."""
    memory, by = Memory(inventory), ("canary", "rollback", "return")  # which verify what they bring
    failed = {entry.reason.partition(" ")[0] for entry in history if entry.action == "return"}
    for entry in history:
        counts = entry.release != NO_RELEASE and entry.outcome != "failed"
        if counts and (entry.action in by or entry.release not in failed):
            memory = memory.with_served(entry, revision)
    last = next((e for e in reversed(history) if e.release == running), None)
    return memory.with_served(last, revision) if last else memory
