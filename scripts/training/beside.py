"""A candidate beside the release that serves now: the same held-out data, the same golden examples, the same clients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scripts.release import golden
from scripts.release.releases import Release
from scripts.training import answers, variants
from scripts.workspace.errors import YourTurn

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Candidate:
    """A trained model, not exported yet."""

    module: str
    model: ModuleType
    serving: Callable
    signature: dict[str, Any]
    held_out: Any
    outputs: dict[str, np.ndarray]  # to the held-out data
    metrics: dict[str, float]


def compare(candidate: Candidate, name: str, release: Release | None) -> dict[str, Any]:
    """The candidate beside the model of that name in `release`, which serves in the environment `name`.

    Where none serves yet, or where a break with its clients is declared, there is nothing to be worse than: only the model's own gates
    decide, and `rule` says so. Raises YourTurn for a break that is not declared.
    """
    entry = next((m for m in release.models if m["name"] == candidate.model.NAME), None) if release else None
    if not release or not entry:
        rule = f"{name} serves no model {candidate.model.NAME} yet: only its own gates decide"
        return _only_own_gates(candidate, name, release, rule)
    breaks = list(_breaks(entry, candidate))
    declared = entry.get("signature_number", 1) < candidate.model.SIGNATURE
    if breaks and not declared:
        raise _undeclared(candidate, name, release, entry, breaks)
    if breaks:
        rule = f"a declared break with the clients of {name}: {'; '.join(breaks)}"
        return _only_own_gates(candidate, name, release, rule)
    return _only_own_gates(candidate, name, release, "") | _side_by_side(candidate, name, release, entry)


def _only_own_gates(candidate: Candidate, name: str, release: Release | None, rule: str) -> dict[str, Any]:
    names = {"model": candidate.model.NAME, "environment": name, "release": release.name if release else None}
    return names | {"rule": rule, "gates": []}


def _side_by_side(candidate: Candidate, name: str, release: Release, entry: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    model, held_out = candidate.model, candidate.held_out
    release.check_model(entry)
    loaded = tf.saved_model.load(str(release.model_folder(entry)))  # kept: its functions do not outlive it
    serves = answers.by_name(loaded.signatures["serving_default"])
    outputs = answers.ask(serves, held_out.inputs)
    before = model.metrics(answers.predictions(candidate.module, model, outputs), held_out.targets)
    return {
        "metrics": {
            key: {"before": _finite(value), "after": _finite(candidate.metrics[key])} for key, value in before.items()
        },
        "gates": [
            variants.bounded(
                f"{name}: loss of {g.metric}", g.loss(before[g.metric], candidate.metrics[g.metric]), g.slack
            )
            for g in model.GATES
        ],
        "changed_held_out": _share_changed(candidate, outputs),
        "changed_examples": sum(_changes(candidate, entry, example) for example in entry["examples"]),
        "examples": len(entry["examples"]),
        "latency_ratio": _latency_ratio(candidate.serving, serves, held_out.inputs[:1]),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


def _latency_ratio(new: Callable, old: Callable, one: np.ndarray) -> float:
    asks = [functools.partial(answers.ask, function) for function in (new, old)]
    after, before = variants.latencies(asks, one)
    return after / before


def _share_changed(candidate: Candidate, before: dict[str, np.ndarray]) -> float:
    """Of the held-out examples: those with another class, or with a number farther off than the golden examples allow."""
    import numpy as np

    model = candidate.model
    old, new = (answers.predictions(candidate.module, model, outputs) for outputs in (before, candidate.outputs))
    if model.LABELS:
        return float((old.argmax(-1) != new.argmax(-1)).mean())
    tolerance = min(example.tolerance for example in model.EXAMPLES)
    return float((np.abs(old - new) > tolerance).reshape(len(old), -1).any(1).mean())


def _changes(candidate: Candidate, entry: dict[str, Any], example: dict[str, Any]) -> bool:
    (tensor,) = answers.tensors(example["inputs"], entry["signature"]).values()
    given = {name: answers.to_json(name, value) for name, value in candidate.serving(tensor).items()}
    expected = example["outputs"]
    return bool(golden.difference(expected, {name: given[name] for name in expected}, example["tolerance"]))


def _breaks(entry: dict[str, Any], candidate: Candidate) -> Iterator[str]:
    """What a client of the old model would stumble over: a new input, a lost output, another type or shape, other classes."""
    for kind in ("inputs", "outputs"):
        old, new = entry["signature"][kind], candidate.signature[kind]
        for name in sorted(old.keys() - new.keys()):
            yield f"{kind[:-1]} {name!r} is gone"
        if kind == "inputs":
            for name in sorted(new.keys() - old.keys()):
                yield f"input {name!r} is new, and no client sends it"
        for name in sorted(old.keys() & new.keys()):
            if old[name]["dtype"] != new[name]["dtype"]:
                yield f"{kind[:-1]} {name!r} is {new[name]['dtype']}, and was {old[name]['dtype']}"
            elif not _fits(old[name]["shape"], new[name]["shape"], narrower=kind == "outputs"):
                yield f"{kind[:-1]} {name!r} has the shape {new[name]['shape']}, and had {old[name]['shape']}"
    if entry.get("labels", []) != candidate.model.LABELS:
        yield f"the classes are {', '.join(candidate.model.LABELS)}, and were {', '.join(entry.get('labels', []))}"


def _fits(old: list[int | None] | None, new: list[int | None] | None, narrower: bool) -> bool:
    """Whether `new` takes all that `old` took; of an output, whether it gives nothing that `old` could not (`narrower`)."""
    wide, narrow = (old, new) if narrower else (new, old)
    if wide is None or narrow is None:
        return wide is None
    return len(wide) == len(narrow) and all(w in (None, n) for w, n in zip(wide, narrow, strict=True))


def _undeclared(candidate: Candidate, name: str, release: Release, entry: dict, breaks: list[str]) -> YourTurn:
    number = entry.get("signature_number", 1)
    return YourTurn(
        f"{candidate.module} is refused: it breaks the clients of release {release.name}, which serves in {name}: {'; '.join(breaks)}",
        f"keep what clients send and get, or declare the break: SIGNATURE = {number + 1} in {Path('model')}/{candidate.module}.py",
    )
