"""Metrics on held-out data, batch by batch: only the values that metrics() takes are kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from model import Split
from scripts.training import batches
from scripts.training.batches import Batch
from scripts.training.faults import mistake
from scripts.training.signatures import Signature

Ask = Callable[[Any], dict[str, np.ndarray]]  # a batch of inputs → the outputs by name


@dataclass(frozen=True)
class HeldOut:
    """The held-out data as one signature reads them."""

    model: ModuleType
    split: Split
    signature: Signature

    def __iter__(self) -> Iterator[Batch]:
        try:
            for batch in batches.read(self.split, self.signature.is_batch, self.signature.batch_size):
                batches.length(batch)
                yield batch
        except ValueError as error:
            raise mistake(self.model, f"its held-out data cannot be read: {error}") from error

    def first(self) -> Any:
        """The inputs of one example."""
        for batch in self:
            return batches.rows(
                batch.inputs, slice(0, self.signature.batch_size if self.signature.batch_size < batches.SIZE else 1)
            )
        raise mistake(self.model, "its held-out data are empty: there is nothing to judge it by")


@dataclass(frozen=True)
class Score:
    """`predictions`, `targets` and `weights` cover all examples; None if metrics() counts batch by batch."""

    metrics: dict[str, float]
    examples: int
    predictions: Any = None
    targets: Any = None
    weights: Any = None


def score(held_out: HeldOut, ask: Ask, most: int | None = None) -> Score:
    """The metrics of the answers of `ask` to the held-out data, or to at least the first `most` examples."""
    model = held_out.model
    wanted = inspect.signature(model.metrics).parameters
    keep = _Counted(model) if not wanted else _Collected(model, wanted)
    examples = 0
    for batch in held_out:
        keep.add(predictions(model, ask(batch.inputs), batch.targets), batch)
        examples += batches.length(batch.inputs)
        if most and examples >= most:
            break
    if not examples:
        held_out.first()  # raises: there are no examples
    return keep.score(examples)


def predictions(model: ModuleType, outputs: dict[str, np.ndarray], targets: Any) -> Any:
    """The outputs that metrics() is given. Raises YourTurn if PREDICTIONS names an output that does not exist."""
    names = model.PREDICTIONS
    wanted = [names] if isinstance(names, str) else list(names or outputs)
    if unknown := [name for name in wanted if name not in outputs]:
        there_is = ", ".join(sorted(outputs))
        raise mistake(
            model, f"PREDICTIONS is {model.PREDICTIONS!r}, and the signature's outputs are {there_is}: no {unknown[0]}"
        )
    if isinstance(targets, dict):
        return outputs
    if len(wanted) == 1 and (names is None or isinstance(names, str)):
        return outputs[wanted[0]]
    return {name: outputs[name] for name in wanted}


class _Collected:
    """metrics() of all predictions and targets at once."""

    def __init__(self, model: ModuleType, wanted: Mapping[str, Any]):
        self.model, self.batches = model, []
        self.more = [name for name in ("inputs", "weights") if name in wanted]

    def add(self, predicted: Any, batch: Batch) -> None:
        kept = batch if "inputs" in self.more else batch._replace(inputs=None)
        self.batches.append((predicted, kept))

    def score(self, examples: int) -> Score:
        predicted = batches.join([predicted for predicted, _ in self.batches])
        whole = Batch(*(batches.join(list(parts)) for parts in zip(*(kept for _, kept in self.batches), strict=True)))
        more = {name: getattr(whole, name) for name in self.more}
        metrics = numbers(self.model, self._metrics(predicted, whole.targets, more))
        return Score(metrics, examples, predicted, whole.targets, whole.weights)

    def _metrics(self, predicted: Any, targets: Any, more: dict[str, Any]) -> Any:
        try:
            return self.model.metrics(predicted, targets, **more)
        except (TypeError, AttributeError, LookupError) as error:
            if self.model.PREDICTIONS or not isinstance(predicted, dict) or isinstance(targets, dict):
                raise
            problem = (
                f"PREDICTIONS names no output, so metrics() was given all by name, {', '.join(predicted)}: {error}"
            )
            raise mistake(self.model, problem) from error


class _Counted:
    """keras.metrics by name, each updated by every batch."""

    def __init__(self, model: ModuleType):
        self.model, self.metrics = model, model.metrics()
        if not isinstance(self.metrics, Mapping):
            raise mistake(model, f"metrics() must return keras.metrics by name, not {type(self.metrics).__name__}")

    def add(self, predicted: Any, batch: Batch) -> None:
        for metric in self.metrics.values():
            metric.update_state(batch.targets, predicted, sample_weight=batch.weights)

    def score(self, examples: int) -> Score:
        return Score(numbers(self.model, {name: metric.result() for name, metric in self.metrics.items()}), examples)


def numbers(model: ModuleType, metrics: Any) -> dict[str, float]:
    """The metrics as floats. Raises YourTurn for a value that is not a number."""
    if not isinstance(metrics, Mapping):
        raise mistake(model, f"metrics() must return numbers by name, not {type(metrics).__name__}")
    for name, value in metrics.items():
        if np.size(np.asarray(value)) != 1 or np.asarray(value).dtype.kind not in "biuf":
            raise mistake(model, f"metrics() must return numbers by name: {name!r} is {_kind(value)}")
    for gate in [*model.GATES, *model.QUICK_GATES]:
        if gate.metric not in metrics:
            raise mistake(model, f"there is a gate on {gate.metric!r}, but metrics() gives only {', '.join(metrics)}")
    return {str(name): float(np.asarray(value).item()) for name, value in metrics.items()}


def _kind(value: Any) -> str:
    array = np.asarray(value)
    return f"of the shape {list(array.shape)}" if array.ndim else type(value).__name__
