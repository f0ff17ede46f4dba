"""The kind of task, found from predictions and truth: binary, one class of many, any of several, a number, a sequence, or none."""

from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np

BINARY, CLASSES, ANY, NUMBER, SERIES, NONE = "binary", "classes", "any of several", "number", "series", "none"


@dataclass(frozen=True)
class Task:
    """One output of the signature with its truth; N counts the judged items: examples, or places of sequences.

    | kind    | truth             | scores                                                    |
    |---------|-------------------|-----------------------------------------------------------|
    | BINARY  | [N], 0 or 1       | [N], of the class 1                                       |
    | CLASSES | [N], of `labels`  | [N, C], or None where the output is the class itself      |
    | ANY     | [N, C], 0 or 1    | [N, C]                                                    |
    | NUMBER  | [N]               | [N]                                                       |
    | SERIES  | [N]               | [N], with `place` in its sequence                         |
    | NONE    | nothing is drawn, for the reason `why`                                        |
    """

    name: str
    kind: str
    labels: list[str] = field(default_factory=list)
    truth: Any = None
    scores: Any = None
    predicted: Any = None  # [N], the class: of BINARY and CLASSES
    example: Any = None  # [N], the number of the example that each belongs to
    place: Any = None  # [N]
    weights: Any = None  # [N], how much each counts; None: all the same
    why: str = ""

    @property
    def wrong(self) -> np.ndarray:
        """[N], whether each item is in error; for BINARY and CLASSES."""
        return self.predicted != self.truth

    @property
    def threshold(self) -> float:
        """The threshold of a binary score: 0.5 for a probability, 0 for a logit."""
        return 0.5 if self.scores.min() >= 0 and self.scores.max() <= 1 else 0.0


def read(model: ModuleType, predictions: Any, targets: Any, weights: Any = None) -> list[Task]:
    """A task for each output that has a truth; all are arrays, mappings of arrays by the outputs' names, or None."""
    found = _read_all(model, predictions, targets)
    return [_weighted(task, weights.get(task.name) if isinstance(weights, dict) else weights) for task in found]


def _weighted(task: Task, weights: Any) -> Task:
    """The task with the weight of each item, that of its example."""
    if weights is None or task.example is None or len(np.unique(np.asarray(weights))) == 1:
        return task
    return replace(task, weights=_unit(np.asarray(weights))[task.example])


def _read_all(model: ModuleType, predictions: Any, targets: Any) -> list[Task]:
    if predictions is None or targets is None:
        return []
    if not isinstance(predictions, dict):
        return [_read("", model.LABELS, predictions, _of(targets, model.PREDICTIONS))]
    if isinstance(targets, dict):
        names = [name for name in predictions if name in targets]
        return [_read(name, _labels(model, name, predictions), predictions[name], targets[name]) for name in names]
    found = [_read(name, model.LABELS, predictions[name], targets) for name in predictions]
    return sorted(found, key=lambda task: (task.kind == NONE, task.scores is None))[:1]  # one truth is of one output


def _of(targets: Any, name: str | None) -> Any:
    return targets.get(name, next(iter(targets.values()))) if isinstance(targets, dict) else targets


def _labels(model: ModuleType, name: str, predictions: dict[str, Any]) -> list[str]:
    """LABELS belong to the output that PREDICTIONS names; if it names several or none, to each output with as many classes."""
    if isinstance(model.PREDICTIONS, str):
        return model.LABELS if name == model.PREDICTIONS else []
    shape = np.shape(predictions[name])
    return model.LABELS if len(shape) > 1 and shape[-1] == len(model.LABELS) else []


def _read(name: str, labels: list[str], predicted: Any, targets: Any) -> Task:
    predicted, targets = np.asarray(predicted), np.asarray(targets)
    none = Task(name, NONE, why=f"{_form(predicted)} beside {_form(targets)}")
    if len(predicted) != len(targets) or not len(targets):
        return none
    example = np.arange(len(targets))
    place = None
    if _is_ragged(predicted) or _is_ragged(targets):
        lengths = [np.shape(one)[:1] for one in targets]
        if lengths != [np.shape(one)[:1] for one in predicted] or () in lengths:
            return none
        example = np.repeat(example, [length for (length,) in lengths])
        place = np.concatenate([np.arange(length) for (length,) in lengths])
        predicted, targets = (np.concatenate([np.asarray(one) for one in many]) for many in (predicted, targets))
    task = _classify(name, labels, _unit(predicted), _unit(targets), example)
    return _finite(_placed(task, place)) if task else none


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} [{', '.join(map(str, array.shape))}]"


def _is_ragged(array: np.ndarray) -> bool:
    return array.dtype == object and not isinstance(array[0], str | bytes)


def _unit(array: np.ndarray) -> np.ndarray:
    """[N, 1] → [N]; text in place of bytes."""
    array = array.reshape(array.shape[:-1]) if array.ndim > 1 and array.shape[-1] == 1 else array
    if array.dtype.kind in "OSU":
        return np.array([one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in array.flat])
    return array


def _classify(
    name: str, labels: list[str], predicted: np.ndarray, targets: np.ndarray, example: np.ndarray
) -> Task | None:
    """The task of arrays whose first dimension is N, or None."""
    words = {str(one) for array in (predicted, targets) if array.dtype.kind == "U" for one in array}
    labels = [str(label) for label in labels] or sorted(words)
    if not words <= set(labels):
        return None
    predicted, targets = _numbered(labels, predicted), _numbered(labels, targets)
    if predicted.dtype.kind not in "biuf" or targets.dtype.kind not in "biuf":
        return None
    task = Task(name, NONE, labels)
    if predicted.shape[:-1] == targets.shape and predicted.shape[-1] > 1:
        return _one_of(task, predicted, targets, example)
    if predicted.shape != targets.shape:
        return None
    if targets.ndim == 1:
        return _single(task, predicted, targets, example)
    if _is_binary(targets) and targets.shape[-1] == (len(labels) or targets.shape[-1]):
        if (targets.sum(-1) == 1).all():  # one-hot
            return _one_of(task, predicted, targets.argmax(-1), example)
        named = _named(labels, targets.shape[-1])
        flat = (array.reshape(-1, targets.shape[-1]) for array in (targets, predicted))
        return replace(task, kind=ANY, labels=named, example=_each(example, targets.shape[1:-1]), **_pair(*flat))
    single = _single(task, predicted.ravel(), targets.ravel(), _each(example, targets.shape[1:]))
    place = np.tile(np.arange(targets[0].size), len(targets))
    return _placed(single, place)


def _numbered(labels: list[str], array: np.ndarray) -> np.ndarray:
    """Classes by their place in `labels`."""
    if array.dtype.kind != "U":
        return array
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[one] for one in array])


def _one_of(task: Task, scores: np.ndarray, truth: np.ndarray, example: np.ndarray) -> Task | None:
    """Scores of each class against the true class; with two classes, the second's score is enough."""
    count = scores.shape[-1]
    if not _is_class(truth, count):
        return None
    example = _each(example, truth.shape[1:])
    scores, truth = scores.reshape(-1, count), truth.ravel().astype(int)
    predicted = scores.argmax(-1)
    task = replace(task, labels=_named(task.labels, count), predicted=predicted, example=example)
    if count == 2:
        second = scores[:, 1] if _is_share(scores) else scores[:, 1] - scores[:, 0]
        return replace(task, kind=BINARY, **_pair(truth, second))
    return replace(task, kind=CLASSES, **_pair(truth, scores))


def _single(task: Task, values: np.ndarray, truth: np.ndarray, example: np.ndarray) -> Task:
    """One value for each truth: a score of the class 1, the class itself, or a number."""
    is_score = values.dtype.kind == "f" and (len(task.labels) == 2 or truth.dtype.kind in "biu" or _is_share(values))
    if _is_binary(truth) and is_score and len(task.labels) in (0, 2):
        task = replace(
            task, kind=BINARY, labels=_named(task.labels, 2), example=example, **_pair(truth.astype(int), values)
        )
        return replace(task, predicted=(values > task.threshold).astype(int))
    if task.labels and _is_class(truth, len(task.labels)) and _is_class(values, len(task.labels)):
        predicted = values.astype(int)
        return replace(task, kind=CLASSES, truth=truth.astype(int), predicted=predicted, example=example)
    return replace(task, kind=NUMBER, labels=[], example=example, **_pair(truth.astype(float), values.astype(float)))


def _pair(truth: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
    return {"truth": truth, "scores": scores}


def _placed(task: Task, place: np.ndarray | None) -> Task:
    return replace(task, kind=SERIES, place=place) if place is not None and task.kind == NUMBER else task


def _each(example: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The example's number, for each of its places."""
    return np.repeat(example, int(np.prod(shape)))


def _named(labels: list[str], count: int) -> list[str]:
    return labels if len(labels) == count else [str(number) for number in range(count)]


def _is_binary(array: np.ndarray) -> bool:
    return bool(np.isin(array, (0, 1)).all())


def _is_share(array: np.ndarray) -> bool:
    return bool(array.min() >= 0 and array.max() <= 1)


def _is_class(array: np.ndarray, count: int) -> bool:
    whole = array.dtype.kind in "biu" or bool((array == np.round(array)).all())
    return whole and bool(array.min() >= 0 and array.max() < count)


def _finite(task: Task) -> Task:
    """The task without NaN and infinity: plots cannot show them, and the gates judge them."""
    if task.scores is None:
        return task
    rows = np.isfinite(task.scores) if task.scores.ndim == 1 else np.isfinite(task.scores).all(-1)
    if task.truth.dtype.kind == "f":
        rows &= np.isfinite(task.truth)
    if not rows.any():
        return Task(task.name, NONE, why="no prediction is a number")
    parts = {part: getattr(task, part) for part in ("truth", "scores", "predicted", "example", "place")}
    return replace(task, **{part: value[rows] for part, value in parts.items() if value is not None})
