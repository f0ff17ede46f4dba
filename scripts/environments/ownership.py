"""Who owns which field of a live object, by its managedFields.

A field that `kubectl edit`, `scale` or `set` wrote is drift: the pipeline takes it over, and the next apply corrects it, even if the
overlay does not set that field. A controller (an autoscaler, another tool) keeps its fields; a conflict with it is an error.

An apply removes a field that the overlay no longer sets, unless the overlay leaves it to others: then it keeps its value until they set
another. The field is taken back when the overlay sets it again and no longer leaves it to others.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from scripts.environments.api import MANAGER

LEFT = "pipeline/left-to-others"  # an annotation: paths, with commas between
Fields = dict[str, Any]  # fieldsV1: a tree of keys like "f:spec", 'k:{"name":"serving"}'


def by_hand(live: Any) -> list[dict[str, Any]]:
    """The entries that people made by kubectl, without `rollout restart`: undoing a restart would be one more."""
    entries = live["metadata"].get("managedFields", [])
    return [entry for entry in entries if entry["manager"].startswith("kubectl") and not _is_harmless(entry)]


def _is_harmless(entry: dict[str, Any]) -> bool:
    """A restart, which comes by the same manager as a pause: that one would hold up every deployment, and a rollback."""
    paused = "f:paused" in entry.get("fieldsV1", {}).get("f:spec", {})
    return (entry["manager"] == "kubectl-rollout" and not paused) or entry.get("subresource") == "status"


def is_ours(live: Any) -> bool:
    return any(_is_mine(entry) for entry in live["metadata"].get("managedFields", []))


def settled(live: Any, manifest: Any) -> list[dict[str, Any]] | None:
    """managedFields for `manifest`: people's fields become ours, and fields left to others do not stay ours. None if nothing changes."""
    entries, hands = live["metadata"].get("managedFields", []), by_hand(live)
    mine = next((e for e in entries if _is_mine(e)), None)
    fields = before = mine["fieldsV1"] if mine else {}
    for entry in hands:
        fields = _union(fields, entry["fieldsV1"])
    back = _taken_back(live, manifest)
    others = [e for e in entries if e is not mine and e not in hands]
    freed = [e | {"fieldsV1": _without(e["fieldsV1"], back)} if "fieldsV1" in e else e for e in others]
    fields = _without(fields, _left(manifest))
    if not hands and fields == before and freed == others:
        return None
    ours = {"manager": MANAGER, "operation": "Apply", "apiVersion": live["apiVersion"], "fieldsType": "FieldsV1"}
    return [ours | {"fieldsV1": fields}, *(e for e in freed if e.get("fieldsV1"))]


def is_disputed(live: Any, manifest: Any) -> bool:
    """Whether others own a field that is about to become ours."""
    return bool(by_hand(live) or _taken_back(live, manifest))


def filled(manifest: Any, live: Any) -> Any:
    """`manifest` with the live values of the fields left to others, so that an apply does not change them."""
    copy = json.loads(json.dumps(manifest))
    for path in _left(manifest):
        value = _value(live, path)
        if value is not None:
            _set(copy, path, value)
    return copy


def _left(manifest: Any) -> list[str]:
    """The paths that `manifest` leaves to others and does not set itself. The number of pods counts as one, whoever scales them."""
    named = (manifest["metadata"].get("annotations") or {}).get(LEFT, "").split(",")
    paths = {path.strip() for path in named} | ({"spec.replicas"} if manifest["kind"] == "Deployment" else set())
    return [path for path in sorted(paths) if path and _value(manifest, path) is None]


def _taken_back(live: Any, manifest: Any) -> list[str]:
    """The paths that were left to others, as the live object says, and that the manifest sets again."""
    named = (live["metadata"].get("annotations") or {}).get(LEFT, "").split(",")
    return [path for path in map(str.strip, named) if path and _value(manifest, path) is not None]


def _steps(path: str) -> list[str | dict[str, str]]:
    """`spec.containers[serving].resources` as steps: a key, or the fields by which an item of a list is found."""
    found = re.findall(r"([^.\[\]]+)(?:\[([^\]]+)\])?", path)
    return [step for key, item in found for step in ([key, {"name": item}] if item else [key])]


def _value(value: Any, path: str) -> Any:
    for step in _steps(path):
        found = value.get(step) if isinstance(step, str) and isinstance(value, dict) else None
        value = _item(value, step) if isinstance(step, dict) else found
    return value


def _set(value: Any, path: str, wanted: Any) -> None:
    *way, last = _steps(path)
    for step in way:
        value = _item(value, step) if isinstance(step, dict) else value.setdefault(step, {})
        if value is None:
            return  # an item of a list that the manifest does not have
    value[last] = wanted


def _without(fields: Fields, paths: list[str]) -> Fields:
    for path in paths:
        keys = [f"f:{s}" if isinstance(s, str) else f"k:{json.dumps(s, separators=(',', ':'))}" for s in _steps(path)]
        fields = _pruned(fields, keys)
    return fields


def _pruned(fields: Fields, keys: list[str]) -> Fields:
    """`fields` without the tree at `keys`, and without the parents that this empties."""
    first, *rest = keys
    if first not in fields or (rest and rest[0] not in fields[first]):
        return fields
    below = _pruned(fields[first], rest) if rest else {}
    return {k: v for k, v in fields.items() if k != first} | ({first: below} if below else {})


def foreign_fields(live: Any, manifest: Any) -> list[str]:
    """A line for each field that people have set and `manifest` does not."""
    lines = []
    for entry in by_hand(live):
        lines += [
            f"{path}: set by {entry['manager']}, and not by the overlay"
            for path in _leaves(entry["fieldsV1"], manifest)
        ]
    return lines


def _is_mine(entry: dict[str, Any]) -> bool:
    return entry["manager"] == MANAGER and entry["operation"] == "Apply"


def _union(one: Fields, other: Fields) -> Fields:
    return {**one, **{key: _union(one.get(key, {}), value) for key, value in other.items()}}


def _leaves(fields: Fields, value: Any, path: str = "") -> Iterator[str]:
    """The paths in `fields` that `value` does not have."""
    for key, below in fields.items():
        kind, _, name = key.partition(":")
        if kind == "f":
            inner, here = value.get(name) if isinstance(value, dict) else None, f"{path}.{name}" if path else name
        elif kind == "k":
            keys = json.loads(name)
            inner, here = _item(value, keys), f"{path}[{','.join(map(str, keys.values()))}]"
        else:
            continue  # ".": the field itself, which has a key of its own above
        if inner is None:
            yield here
        else:
            yield from _leaves(below, inner, here)


def _item(items: Any, keys: dict[str, Any]) -> Any | None:
    found = items if isinstance(items, list) else []
    return next((item for item in found if keys.items() <= item.items()), None)
