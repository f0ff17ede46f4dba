"""The card's plots as Markdown: tables, and what GitHub draws itself, since the page of a run can show no file of the run."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scripts.reports.wording import name, number

POINTS = 60  # of a line: more cannot be told apart at the width of a page


def loss(curves: Mapping[str, Sequence[float | None]]) -> str:
    """The loss by epoch, as a power of ten. A loss of 0 has no logarithm, and is drawn as the smallest loss above 0."""
    lines = [[math.nan if v is None else v for v in values] for key, values in curves.items() if "loss" in key]
    if not any(lines):
        return ""
    least = min((v for values in lines for v in values if v > 0), default=1.0)
    powers = [[math.log10(max(v, least)) if v == v else math.nan for v in _thinned(values)] for values in lines]
    longest = max(map(len, lines))
    return _chart("Loss while training", f'"epoch" 1 --> {max(longest, 2)}', "loss, power of ten", powers)


def predictions(predicted: np.ndarray, targets: np.ndarray) -> str:
    """Predictions in the order of the true values: one line is the truth, the other the model."""
    true, answered = np.ravel(targets), np.ravel(predicted)
    order = _thinned(list(np.argsort(true, kind="stable")))
    lines = [[float(values[index]) for index in order] for values in (true, answered)]
    return _chart("Held-out data: true, and predicted", f'"example" 1 --> {max(len(order), 2)}', "value", lines)


def confusion(labels: list[str], counts: np.ndarray) -> str:
    """The confusion matrix: rows are the true labels, columns the predicted ones."""
    rows = [
        [f"**{name(label)}**", *(_cell(row, i, count) for i, count in enumerate(counts[row]))]
        for row, label in enumerate(labels)
    ]
    head = f"Held-out data: {counts.trace()} of {counts.sum()} right. Down: what it is; across: what it was taken for."
    return f"{head}\n\n{table(['', *map(name, labels)], rows)}"


def _cell(row: int, column: int, count: int) -> str:
    return "" if not count else str(count) if row == column else f"**{count}**"


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; floats as people read them."""
    columns = list(columns)
    lines = [[number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join(
        [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(r)} |" for r in lines)]
    )


def _thinned(values: list) -> list:
    """At most POINTS of the values, with the first and the last."""
    if len(values) <= POINTS:
        return values
    return [values[round(i * (len(values) - 1) / (POINTS - 1))] for i in range(POINTS)]


def _chart(title: str, x: str, y: str, lines: list[list[float]]) -> str:
    """A chart for Mermaid, which reads only numbers without exponents."""
    drawn = [f"  line [{', '.join(_decimal(v) for v in line * (1 if len(line) > 1 else 2))}]" for line in lines]
    return "\n".join(
        ["```mermaid", "xychart-beta", f'  title "{title}"', f"  x-axis {x}", f'  y-axis "{y}"', *drawn, "```"]
    )


def _decimal(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "0"
