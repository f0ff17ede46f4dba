"""The card's plots as pictures, by scikit-learn and matplotlib: the training, and predictions against truth by kind of task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.reports.tasks import Task

SMALL = 25  # labels: more names, or counts in a matrix, cannot be read at the width of a page
WIDTH = 6.5  # inches
SHOWN = 2000  # points of a scatter plot: more are one blot


def training(curves: Mapping[str, Sequence[float | None]]) -> Any:
    """The losses on a logarithmic axis, and below them the other metrics by epoch."""
    losses = [name for name in curves if "loss" in name]
    groups = [names for names in (losses, [name for name in curves if name not in losses]) if names]
    figure = make(3 * len(groups) + 1)
    for axes, names in zip(figure.subplots(len(groups), 1, squeeze=False, sharex=True).flat, groups, strict=True):
        for name in names[:8]:  # more colours cannot be told apart
            values = np.array(curves[name], float)
            axes.plot(np.arange(1, len(values) + 1), values, label=name, marker="." if len(values) < 30 else None)
        if names is losses:
            _scale(axes, np.concatenate([np.array(curves[name], float) for name in names]))
        axes.legend()
        axes.grid(alpha=0.3)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _scale(axes: Any, values: np.ndarray) -> None:
    """A logarithmic axis for a loss that falls too far for a linear one; a loss of 0 is left out."""
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and np.nanmin(values) >= 0 and positive.max() > 10 * positive.min():
        axes.set_yscale("log", nonpositive="mask", subs=[2, 5])
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter(lambda value, _: f"{value:g}")  # the usual one writes formulas


def curves(task: Task) -> Any:
    """The curves of a binary task: ROC, precision by recall, and both by the threshold."""
    from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay, precision_recall_curve

    figure = make(2.9, 9)
    roc, precision_recall, by_threshold = figure.subplots(1, 3)
    for display, axes in ((RocCurveDisplay, roc), (PrecisionRecallDisplay, precision_recall)):
        style = {"ax": axes, "plot_chance_level": True, "name": "model"}
        display.from_predictions(task.truth, task.scores, sample_weight=task.weights, **style)
    precision, recall, thresholds = precision_recall_curve(task.truth, task.scores, sample_weight=task.weights)
    for name, values in (("precision", precision), ("recall", recall)):
        by_threshold.plot(thresholds, values[:-1], label=name)
    by_threshold.axvline(task.threshold, color="0.7", linestyle="--")
    by_threshold.set(xlabel=f'score of "{task.labels[1]}"', ylim=(-0.02, 1.02), title="By threshold")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    precision_recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(-0.02, 1.02))
    for axes in (roc, precision_recall, by_threshold):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower left" if axes is not roc else "lower right")
    return figure


def confusion(task: Task) -> Any:
    """The confusion matrix. The colours show the errors only: on a scale of all counts, the diagonal would hide them."""
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = matrix(task)
    errors = counts - np.diag(counts.diagonal())
    side = min(3.2 + 0.33 * len(counts), 11)
    figure = make(side, max(side + 0.6, WIDTH))
    axes = figure.subplots()
    display = ConfusionMatrixDisplay(counts, display_labels=[shortened(label) for label in task.labels])
    display.plot(ax=axes, cmap="Reds", colorbar=False, values_format="d", xticks_rotation=45, text_kw={"fontsize": 8})
    display.im_.set(data=errors, clim=(0, max(2 * errors.max(), 1)))
    for (row, column), text in np.ndenumerate(display.text_):
        text.set(color="0.5" if row == column else "k", visible=bool(counts[row, column]))
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.set(title=f"Held-out data: {counts.trace()} of {counts.sum()} right", xlabel="predicted", ylabel="true")
    return figure


def matrix(task: Task) -> np.ndarray:
    """[C, C] counts: rows are the true labels, columns the predicted ones."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(task.truth, task.predicted, labels=range(len(task.labels)))


def recalls(task: Task, recall: np.ndarray) -> Any:
    """The labels with the lowest recall; `recall` is by label, NaN for a label without examples."""
    worst = np.argsort(recall, kind="stable")[: min(SMALL, int((recall < 1).sum()))][::-1]
    figure = make(1 + 0.22 * len(worst))
    axes = figure.subplots()
    bars = axes.barh([shortened(task.labels[label]) for label in worst], recall[worst])
    axes.bar_label(bars, fmt=lambda share: f"{share:.0%}", fontsize=7, padding=2)
    axes.set(
        title=f"The {len(worst)} labels that are recognised least often",
        xlabel="share that is recognised",
        xlim=(0, 1.08),
    )
    return figure


def any_of(task: Task, precisions: np.ndarray) -> Any:
    """Precision by recall of the labels with the lowest average precision, which is NaN for a label that is never, or always, there."""
    from sklearn.metrics import PrecisionRecallDisplay

    figure = make(4.2)
    axes = figure.subplots()
    for label in np.argsort(precisions, kind="stable")[: min(8, int(np.isfinite(precisions).sum()))]:
        name = shortened(task.labels[label])
        pair = task.truth[:, label], task.scores[:, label]
        PrecisionRecallDisplay.from_predictions(*pair, sample_weight=task.weights, ax=axes, name=name)
    axes.set(title="Precision and recall by label", xlabel="recall", ylabel="precision", ylim=(-0.02, 1.02))
    axes.legend(fontsize=7, loc="lower left")
    axes.grid(alpha=0.3)
    return figure


def residuals(task: Task) -> Any:
    """Predicted against true values, and the residuals."""
    from matplotlib.ticker import AutoLocator
    from sklearn.metrics import PredictionErrorDisplay

    figure = make(3.4, 8)
    kinds = ("actual_vs_predicted", "residual_vs_predicted")
    for axes, kind in zip(figure.subplots(1, 2), kinds, strict=True):
        style = {"s": 12, "alpha": 0.6}
        PredictionErrorDisplay.from_predictions(
            task.truth, task.scores, kind=kind, ax=axes, subsample=SHOWN, random_state=0, scatter_kwargs=style
        )
        axes.set_xlabel("predicted")
        axes.xaxis.set_major_locator(AutoLocator())  # scikit-learn's own ticks are fifths of the range
        axes.yaxis.set_major_locator(AutoLocator())
        axes.grid(alpha=0.3)
    figure.axes[0].set(ylabel="true", title="Held-out data")
    figure.axes[1].set(ylabel="true − predicted", title="Residuals")
    return figure


def series(task: Task) -> Any:
    """The error by place in the sequence, and the sequences with the median and the largest error."""
    figure, error = make(3.2, 9), np.abs(task.truth - task.scores)
    by_place, *drawn = figure.subplots(1, 3)
    places = np.unique(task.place)
    for name, of in (("median", np.median), ("90 % are below", lambda values: np.quantile(values, 0.9))):
        by_place.plot(places, [of(error[task.place == place]) for place in places], label=name, marker=".")
    by_place.set(title="Error by place", xlabel="place", ylabel="|true − predicted|", ylim=(0, None))
    examples, starts = np.unique(task.example, return_index=True)
    order = np.argsort(np.add.reduceat(error, starts) / np.diff([*starts, len(error)]))
    for axes, title, which in zip(
        drawn, ("A median one", "The worst one"), (order[len(order) // 2], order[-1]), strict=True
    ):
        rows = task.example == examples[which]
        axes.plot(task.place[rows], task.truth[rows], color="0.6", label="true", marker=".")
        axes.plot(task.place[rows], task.scores[rows], label="predicted", marker=".")
        axes.set(title=f"{title}: example {examples[which]}", xlabel="place")
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure


def shortened(label: str) -> str:
    """A label, cut to the room in a plot."""
    label = " ".join(label.split())
    return label if len(label) <= 28 else f"{label[:26]}…"


def make(height: float = 4, width: float = WIDTH) -> Any:
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(width, height), dpi=120, layout="constrained")
