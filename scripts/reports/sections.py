"""The sections of a card for a task: plots, with tables below them, or in their place where no picture can be shown."""

import csv
import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scripts.reports import charts, plots, wording, worst
from scripts.reports.tasks import ANY, BINARY, CLASSES, NONE, NUMBER, SERIES, Task
from scripts.workspace import files

Inputs = Callable[[list[int]], Any]  # the numbers of examples → their inputs, in that order
SHARES = [round(0.1 * tenth, 1) for tenth in range(1, 10)]


@dataclass(frozen=True)
class Section:
    """`picture` makes the figure in `file`, `text` the Markdown below it, `instead` its replacement on a page without files."""

    title: str
    file: str = ""
    picture: Callable[[], Any] | None = None
    text: Callable[[], str] = str
    instead: Callable[[], str] = str


def training(curves: dict[str, list[float | None]]) -> Iterator[Section]:
    if curves:
        yield Section("loss by epoch", "loss.png", lambda: plots.training(curves), instead=lambda: charts.loss(curves))


def of(task: Task, model: ModuleType, inputs: Inputs | None, folder: Path) -> Iterator[Section]:
    """The sections of one task; files for people to open go to `folder`. `inputs` reads some held-out examples, for the worst errors."""
    kinds = {BINARY: _binary, CLASSES: _classes, ANY: _any_of, NUMBER: _number, SERIES: _series}
    if task.kind == NONE:
        yield Section(
            "predictions",
            text=lambda: f"No plot is drawn of {wording.name(task.name or 'the predictions')}: {task.why}.",
        )
        return
    if task.weights is not None:
        yield Section(
            "", text=lambda: "Curves and shares weigh the examples as `weights` says; counts are of examples."
        )
    prefix = f"{''.join(c if c.isalnum() or c in '-_.' else '_' for c in task.name)}-" if task.name else ""
    if task.name:
        yield Section("", text=lambda: f"### {wording.name(task.name)}")
    yield from kinds[task.kind](task, prefix, folder)
    if inputs:
        yield _worst(task, model, inputs, f"{prefix}errors.png")


def _binary(task: Task, prefix: str, folder: Path) -> Iterator[Section]:
    if len(np.unique(task.truth)) > 1:
        yield Section(
            "ROC, precision and recall", f"{prefix}curves.png", lambda: plots.curves(task), lambda: _thresholds(task)
        )
    else:
        only = wording.name(task.labels[task.truth[0]])
        yield Section("ROC", text=lambda: f"All the held-out data are {only}: there is no curve to draw.")
    yield _confusion(task, prefix)


def _confusion(task: Task, prefix: str) -> Section:
    instead = lambda: charts.confusion(task.labels, plots.matrix(task))  # noqa: E731
    return Section("confusion matrix", f"{prefix}confusion.png", lambda: plots.confusion(task), instead=instead)


def _thresholds(task: Task) -> str:
    """Precision, recall and F1 by the threshold on the score: at tenths for a probability, else at the score's own deciles."""
    from sklearn.metrics import precision_recall_fscore_support

    thresholds = SHARES if task.threshold else np.unique(np.quantile(task.scores, SHARES)).tolist()
    rows = []
    for threshold in thresholds:
        measured = precision_recall_fscore_support(
            task.truth, task.scores > threshold, sample_weight=task.weights, average="binary", zero_division=np.nan
        )
        rows.append([float(threshold), *(_measure(value) for value in measured[:3])])
    return charts.table([f"threshold of {wording.name(task.labels[1])}", "precision", "recall", "F1"], rows)


def _measure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _classes(task: Task, prefix: str, folder: Path) -> Iterator[Section]:
    if len(task.labels) <= plots.SMALL:
        yield _confusion(task, prefix)
        return
    recall = _by_label(task)[1]
    file = folder / f"{prefix}confusions.csv"
    yield Section(
        "the labels that are recognised least often",
        f"{prefix}recall.png",
        (lambda: plots.recalls(task, recall)) if task.wrong.any() else None,
        lambda: _confusions(task, file),
    )


def _by_label(task: Task) -> tuple[np.ndarray, ...]:
    """Precision, recall, F1 and the number of examples of each label; NaN where a value is undefined."""
    from sklearn.metrics import precision_recall_fscore_support

    predicted = task.predicted if task.kind == CLASSES else task.scores > task.threshold
    labels = range(len(task.labels))
    return precision_recall_fscore_support(
        task.truth, predicted, labels=labels, sample_weight=task.weights, zero_division=np.nan
    )


def _confusions(task: Task, file: Path) -> str:
    """The most frequent confusions as text; all confusions go to `file`."""
    pairs = np.stack([task.truth[task.wrong], task.predicted[task.wrong]], 1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [(task.labels[found[i, 0]], task.labels[found[i, 1]], int(counts[i])) for i in order]
    text = io.StringIO()
    csv.writer(text).writerows([("true", "predicted", "count"), *rows])
    files.write(file, text.getvalue())
    right = f"{task.wrong.sum()} of {len(task.truth)} are wrong"
    head = f"{right}. The most frequent of {len(rows)} confusions; all of them: [{file.name}]({file.name})"
    shown = [[wording.name(right), wording.name(taken), count] for right, taken, count in rows[: plots.SMALL]]
    return f"{head}\n\n{charts.table(['it is', 'taken for', 'times'], shown)}"


def _any_of(task: Task, prefix: str, folder: Path) -> Iterator[Section]:
    from sklearn.metrics import average_precision_score

    precisions = np.array(
        [
            average_precision_score(truth, scores, sample_weight=task.weights)
            if 0 < truth.sum() < len(truth)
            else np.nan
            for truth, scores in zip(task.truth.T, task.scores.T, strict=True)
        ]
    )
    table = lambda: _labels(task, precisions)  # noqa: E731
    picture = (lambda: plots.any_of(task, precisions)) if np.isfinite(precisions).any() else None
    yield Section("precision and recall by label", f"{prefix}labels.png", picture, table)


def _labels(task: Task, precisions: np.ndarray) -> str:
    measures = _by_label(task)
    order = np.argsort(precisions, kind="stable")[: plots.SMALL]
    rows = [
        [
            wording.name(task.labels[i]),
            *(_measure(m[i]) for m in measures[:3]),
            _measure(precisions[i]),
            int(task.truth[:, i].sum()),
        ]
        for i in order
    ]
    head = f"Of {len(task.labels)} labels, the {len(order)} worst; a score above {task.threshold:g} counts as yes."
    return f"{head}\n\n{charts.table(['label', 'precision', 'recall', 'F1', 'average precision', 'there are'], rows)}"


def _number(task: Task, prefix: str, folder: Path) -> Iterator[Section]:
    yield Section(
        "predicted against true",
        f"{prefix}predictions.png",
        lambda: plots.residuals(task),
        lambda: _errors(task),
        lambda: charts.predictions(task.scores, task.truth),
    )


def _errors(task: Task) -> str:
    error = np.abs(task.truth - task.scores)
    quantiles = [float(np.quantile(error, share)) for share in (0.5, 0.9, 0.99, 1)]
    return charts.table(["\\|true − predicted\\|", "median", "90 %", "99 %", "largest"], [["", *quantiles]])


def _series(task: Task, prefix: str, folder: Path) -> Iterator[Section]:
    yield Section("error by place", f"{prefix}series.png", lambda: plots.series(task), lambda: _errors(task))


def _worst(task: Task, model: ModuleType, inputs: Inputs, file: str) -> Section:
    rows = worst.rows(task)
    if not len(rows):
        return Section("worst errors", text=lambda: "No errors on held-out data.")
    if len(np.unique(task.example)) < len(task.example):
        return Section("worst errors")  # an error at a place of a sequence has no input of its own

    @functools.cache
    def seen() -> tuple[Any, np.ndarray | None]:
        asked = inputs(task.example[rows[: worst.PICTURES]].tolist())
        return asked, None if task.kind == NUMBER else worst.pictures(model, asked)

    def picture() -> Any:
        pictures = seen()[1]
        return None if pictures is None else worst.draw(task, rows[: worst.PICTURES], pictures, len(rows))

    def text() -> str:
        asked, pictures = seen()
        return worst.table(task, rows[: worst.ROWS], asked) if pictures is None else ""

    return Section("worst errors", file, picture, text)
