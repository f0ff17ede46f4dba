"""A candidate beside the release that serves now: the same held-out data, the same golden examples, the same clients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scripts.release import golden
from scripts.release.releases import Release
from scripts.training import answers, batches, saved_model, scoring, variants
from scripts.training.scoring import Ask, HeldOut
from scripts.training.signatures import DEFAULT, Signature
from scripts.workspace.errors import YourTurn


@dataclass(frozen=True)
class Candidate:
    """A trained model, not exported yet."""

    module: str
    model: ModuleType
    signatures: dict[str, Signature]
    held_out: HeldOut
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
    model, held_out = candidate.model, candidate.held_out
    release.check_model(entry)
    serves = saved_model.read(model, release.model_folder(entry))
    asks = [signatures[DEFAULT].ask for signatures in (candidate.signatures, serves)]
    before = scoring.score(held_out, asks[1]).metrics
    after, old = variants.latencies(asks, held_out.first())
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
        "changed_held_out": _share_changed(held_out, *asks),
        "changed_examples": sum(_changes(candidate, example) for example in entry["examples"]),
        "examples": len(entry["examples"]),
        "latency_ratio": after / old,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


def _share_changed(held_out: HeldOut, new: Ask, old: Ask) -> float:
    """Of the held-out examples: those of which an output that metrics() is given is another, as far as the golden examples allow."""
    changed = []
    for batch in held_out:
        pair = [_named(held_out.model, ask(batch.inputs), batch.targets) for ask in (new, old)]
        shared = pair[0].keys() & pair[1].keys()
        changed.append(np.any([_changed(held_out.model, key, pair[0][key], pair[1][key]) for key in shared], axis=0))
    return float(np.concatenate(changed).mean())


def _named(model: ModuleType, outputs: dict[str, np.ndarray], targets: Any) -> dict[str, np.ndarray]:
    """What metrics() is given of the outputs, by name also where it is only one."""
    given = scoring.predictions(model, outputs, targets)
    return given if isinstance(given, dict) else {model.PREDICTIONS or next(iter(outputs)): given}


def _changed(model: ModuleType, output: str, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Of each example: whether it is in another class, or has a number farther off than every golden example allows, or anything else."""
    if batches.is_ragged(new) or batches.is_ragged(old) or new.shape != old.shape:
        return np.array([not np.array_equal(a, b) for a, b in itertools.zip_longest(new, old)])
    if new.dtype.kind != "f":
        return (new != old).reshape(len(new), -1).any(1)
    if model.LABELS and new.ndim > 1 and new.shape[-1] == len(model.LABELS):
        return (new.argmax(-1) != old.argmax(-1)).reshape(len(new), -1).any(1)
    allowed = [golden.allowed(answers.tolerances(example), output) for example in model.EXAMPLES]
    absolute, relative = (min(parts) for parts in zip(*allowed, strict=True))
    return (np.abs(new - old) > np.maximum(absolute, relative * np.abs(old))).reshape(len(new), -1).any(1)


def _changes(candidate: Candidate, example: dict[str, Any]) -> bool:
    signature = candidate.signatures[example.get("signature", DEFAULT)]
    given = answers.ask(candidate.model, 1, signature, example["inputs"])
    expected = example["outputs"]
    return bool(golden.difference(expected, {name: given[name] for name in expected}, example["tolerance"]))


def _breaks(entry: dict[str, Any], candidate: Candidate) -> Iterator[str]:
    """What a client of the old model would stumble over: in its signatures, or other classes."""
    before = {DEFAULT: entry["signature"]} | entry.get("signatures", {})
    for name, old in before.items():
        where = "" if name == DEFAULT else f"{name}: "
        if name not in candidate.signatures:
            yield f"the signature {name!r} is gone"
            continue
        yield from (f"{where}{problem}" for problem in _breaks_of(old, candidate.signatures[name].document))
    if entry.get("labels", []) != candidate.model.LABELS:
        yield f"the classes are {', '.join(candidate.model.LABELS)}, and were {', '.join(entry.get('labels', []))}"


def _breaks_of(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """A new input, a lost output, one beside the only one, another type or shape."""
    for kind in ("inputs", "outputs"):
        old, new = before[kind], after[kind]
        for name in sorted(old.keys() - new.keys()):
            yield f"{kind[:-1]} {name!r} is gone"
        if kind == "inputs":
            for name in sorted(new.keys() - old.keys()):
                yield f"input {name!r} is new, and no client sends it"
        elif len(old) == 1 and old.keys() < new.keys():
            yield f"output {next(iter(old))!r} is not the only one any more: TensorFlow Serving's rows then hold outputs by name"
        for name in sorted(old.keys() & new.keys()):
            if old[name]["dtype"] != new[name]["dtype"]:
                yield f"{kind[:-1]} {name!r} is {new[name]['dtype']}, and was {old[name]['dtype']}"
            elif not _fits(old[name]["shape"], new[name]["shape"], narrower=kind == "outputs"):
                yield f"{kind[:-1]} {name!r} has the shape {new[name]['shape']}, and had {old[name]['shape']}"


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
