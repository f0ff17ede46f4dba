"""The card's plots as Markdown that GitHub draws itself: the page of a run can show no file of the run."""

import math

import numpy as np

POINTS = 60  # of a line: as many as one still tells apart at the width of a page


def loss(values: list[float]) -> str:
    """By epoch, as a power of ten; an exact fit ends at 0, which has none, and is drawn as the smallest that is not."""
    least = min((value for value in values if value > 0), default=1.0)
    powers = [math.log10(max(value, least)) for value in _thinned(values)]
    return _chart("Loss while training", f'"epoch" 1 --> {max(len(values), 2)}', "loss, power of ten", [powers])


def predictions(predicted: np.ndarray, targets: np.ndarray) -> str:
    """In the order of the true values: the straight line is the truth, the other the model."""
    true, answered = np.ravel(targets), np.ravel(predicted)
    order = _thinned(list(np.argsort(true, kind="stable")))
    lines = [[float(values[index]) for index in order] for values in (true, answered)]
    return _chart("Held-out data: true, and predicted", f'"example" 1 --> {max(len(order), 2)}', "value", lines)


def confusion(labels: list[str], scores: np.ndarray, targets: np.ndarray) -> str:
    """Rows are what it is, columns what it was taken for."""
    counts = np.zeros([len(labels)] * 2, int)
    np.add.at(counts, (targets, scores.argmax(1)), 1)
    rows = [
        f"| **{label}** | {' | '.join(_cell(row, i, number) for i, number in enumerate(counts[row]))} |"
        for row, label in enumerate(labels)
    ]
    head = f"Held-out data: {counts.trace()} of {counts.sum()} right. Down: what it is; across: what it was taken for."
    return "\n".join([head, "", f"| | {' | '.join(labels)} |", "|---" * (len(labels) + 1) + "|", *rows])


def _cell(row: int, column: int, number: int) -> str:
    return "" if not number else str(number) if row == column else f"**{number}**"


def _thinned(values: list) -> list:
    """At most POINTS of them, the first and the last among them."""
    if len(values) <= POINTS:
        return values
    return [values[round(i * (len(values) - 1) / (POINTS - 1))] for i in range(POINTS)]


def _chart(title: str, x: str, y: str, lines: list[list[float]]) -> str:
    """Numbers without exponents: Mermaid reads no others."""
    drawn = [f"  line [{', '.join(_decimal(v) for v in line * (1 if len(line) > 1 else 2))}]" for line in lines]
    return "\n".join(
        ["```mermaid", "xychart-beta", f'  title "{title}"', f"  x-axis {x}", f'  y-axis "{y}"', *drawn, "```"]
    )


def _decimal(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "0"
