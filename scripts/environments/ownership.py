"""Who owns which field of a live object, by its managedFields.

What `kubectl edit`, `scale` or `set` wrote is drift: taken over, and so put right by the next apply, also where the overlay
says nothing of that field. What a controller owns (an autoscaler, another tool) stays its own; a conflict with it is an error.
"""

import json
from collections.abc import Iterator
from typing import Any

from scripts.environments.api import MANAGER

Fields = dict[str, Any]  # fieldsV1: a tree of keys like "f:spec", 'k:{"name":"serving"}'


def by_hand(live: Any) -> list[dict[str, Any]]:
    """The entries that people made by kubectl, but for its restart of a rollout: undoing that would be one more."""
    entries = live["metadata"].get("managedFields", [])
    return [entry for entry in entries if entry["manager"].startswith("kubectl") and not _is_harmless(entry)]


def _is_harmless(entry: dict[str, Any]) -> bool:
    return entry["manager"] == "kubectl-rollout" or entry.get("subresource") == "status"


def is_ours(live: Any) -> bool:
    return any(_is_mine(entry) for entry in live["metadata"].get("managedFields", []))


def taken_over(live: Any) -> list[dict[str, Any]]:
    """managedFields in which what people own is ours."""
    entries, hands = live["metadata"]["managedFields"], by_hand(live)
    mine = next((e for e in entries if _is_mine(e)), None)
    fields = mine["fieldsV1"] if mine else {}
    for entry in hands:
        fields = _union(fields, entry["fieldsV1"])
    ours = {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return [ours, *(e for e in entries if e is not mine and e not in hands)]


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
