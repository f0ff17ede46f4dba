"""The worst errors on held-out data: the pictures that the network saw, or a table of the inputs."""

from types import ModuleType
from typing import Any

import numpy as np

from scripts.reports import charts, plots, wording
from scripts.reports.tasks import BINARY, CLASSES, NUMBER, Task

PICTURES = 24  # one page, seen at a glance
ROWS = 8
CELL = 120  # characters of an input


def rows(task: Task) -> np.ndarray:
    """The rows of `task` that are in error, the worst first: by the lowest score of the right class, or the largest error of a number."""
    if task.kind == NUMBER:
        return np.argsort(-np.abs(task.truth - task.scores), kind="stable")
    wrong = np.flatnonzero(task.wrong)
    if task.scores is None:
        return wrong
    right = task.scores[wrong, task.truth[wrong]] if task.kind == CLASSES else _share_of_right(task)[wrong]
    return wrong[np.argsort(right, kind="stable")]


def _share_of_right(task: Task) -> np.ndarray:
    return np.where(task.truth == 1, task.scores, -task.scores)


def pictures(model: ModuleType, inputs: Any) -> np.ndarray | None:
    """The pictures that the network sees for `inputs`, [K, H, W] or [K, H, W, 1 or 3]; None if they are not pictures."""
    parts = inputs.values() if isinstance(inputs, dict) else [model.features(inputs)]
    for part in map(np.asarray, parts):
        drawable = part.ndim == 3 or (part.ndim == 4 and part.shape[-1] in (1, 3))
        if part.dtype.kind in "biuf" and drawable and min(part.shape[1:3]) > 4:
            return part
    return None


def draw(task: Task, worst: np.ndarray, seen: np.ndarray, count: int) -> Any:
    """The pictures `seen` of the rows `worst`, of `count` errors in all."""
    lines = -(-len(worst) // 6)
    figure = plots.make(0.5 + 1.4 * lines)
    figure.suptitle(f"The worst {len(worst)} of {count} errors")
    for axes in figure.subplots(lines, 6, squeeze=False).flat:
        axes.set_axis_off()
    for axes, row, picture in zip(figure.axes, worst, seen, strict=False):
        right, taken = (plots.shortened(task.labels[array[row]]) for array in (task.truth, task.predicted))
        axes.set_title(f"{right}, taken for\n{taken}{_share(task, row)}", fontsize=7 if len(right + taken) < 24 else 5)
        square = (
            picture.shape[0] == picture.shape[1]
        )  # else a spectrogram, time first: time runs right, high frequencies are on top
        picture = picture if square else np.rot90(picture)
        span = (picture.astype(float) - picture.min()) / max(float(np.ptp(picture)), 1e-9)
        axes.imshow(span, cmap="gray_r", aspect="equal" if square else "auto")
    return figure


def _share(task: Task, row: int) -> str:
    """The score of the answer, if it is a probability."""
    if task.kind != CLASSES or task.scores is None or not 0 <= (share := task.scores[row, task.predicted[row]]) <= 1:
        return ""
    return f" ({share:.0%})"


def table(task: Task, worst: np.ndarray, inputs: Any) -> str:
    """The input, the right answer and the given answer of the rows `worst`."""
    columns = inputs if isinstance(inputs, dict) else {"input": inputs}
    body = [
        [*(_short(values[number]) for values in columns.values()), *_answer(task, row)]
        for number, row in enumerate(worst)
    ]
    of = "" if task.kind == NUMBER else f" of {task.wrong.sum()}"
    last = "off by" if task.kind == NUMBER else "score"
    text = charts.table([*map(wording.name, columns), "true", "predicted", last], body)
    return f"The worst {len(worst)}{of} errors, on held-out data:\n\n{text}"


def _answer(task: Task, row: int) -> list[str]:
    if task.kind == NUMBER:
        right, answered = float(task.truth[row]), float(task.scores[row])
        return [wording.number(number) for number in (right, answered, answered - right)]
    labels = [wording.name(task.labels[array[row]]) for array in (task.truth, task.predicted)]
    if task.scores is None:
        return [*labels, ""]
    return [*labels, wording.number(float(task.scores[row] if task.kind == BINARY else task.scores[row].max()))]


def _short(value: Any) -> str:
    """An input as one line: text, numbers, or how many bytes."""
    values = np.asarray(value).ravel()[:8].tolist() if not isinstance(value, bytes | str) else [value]
    shown = []
    for one in values:
        try:
            one = one.decode() if isinstance(one, bytes) else one
        except UnicodeDecodeError:
            one = f"{len(one)} bytes"
        shown.append(f"{one:.4g}" if isinstance(one, float) else str(one))
    return wording.name(", ".join(shown) + (" …" if np.size(value) > 8 else ""), CELL)
