"""The model card: what was trained, what it was held to, and plots, as Markdown in build/NAME/."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scripts.reports import charts, wording
from scripts.workspace import files

ERRORS = 24  # on the page of the worst: one page, seen at a glance


def write(folder: Path, model: ModuleType, evaluation: dict, history: dict, predictions: np.ndarray, held_out) -> None:
    """Writes card.md and its plots: the loss, and predicted against true: as a confusion matrix and the worst errors if it has LABELS.

    summary.md beside it is the same for the page of a workflow's run, where GitHub draws the plots itself.
    """
    plots, drawn = {}, {}
    if loss := history["curves"].get("loss"):
        _plot_loss(folder / "loss.png", loss)
        plots, drawn = {"loss by epoch": "loss.png"}, {"loss.png": charts.loss(loss)}
    if not isinstance(predictions, np.ndarray) or not isinstance(held_out.targets, np.ndarray):
        pass
    elif model.LABELS and predictions.ndim == 2 and predictions.shape[1] == len(model.LABELS) and held_out.targets.ndim == 1:
        _plot_confusion(folder / "confusion.png", model.LABELS, predictions, held_out.targets)
        _plot_worst(folder / "errors.png", model, predictions, held_out)
        plots |= {"confusion matrix": "confusion.png", "worst errors": "errors.png"}
        drawn["confusion.png"] = charts.confusion(model.LABELS, predictions, held_out.targets)
    elif predictions.shape == held_out.targets.shape:
        _plot_predictions(folder / "predictions.png", predictions, held_out.targets)
        plots |= {"predicted against true": "predictions.png"}
        drawn["predictions.png"] = charts.predictions(predictions, held_out.targets)
    text = _text(model, evaluation, history, plots)
    files.write(folder / "card.md", text)
    for name, file in plots.items():
        text = text.replace(f"![{name}]({file})", f"{drawn[file]}\n" if file in drawn else "")
    files.write(folder / "summary.md", text)


def _text(model: ModuleType, evaluation: dict[str, Any], history: dict[str, Any], plots: dict[str, str]) -> str:
    gates = [
        f"| {g['metric']} | {g['bound']} | {wording.number(g['value'])} | {'passed' if g['passed'] else '**refused**'} |"
        for g in evaluation["gates"]
    ]
    metrics = [f"| {name} | {wording.number(value)} |" for name, value in evaluation["metrics"].items()]
    return "\n".join(
        [
            f"# {model.NAME}: {'all gates passed' if evaluation['passed'] else 'REFUSED'}",
            "",
            (model.__doc__ or "").strip(),
            "",
            f"Release `{evaluation['id'][:12]}`, {len(history['curves'].get('loss', []))} epochs in {history['seconds']:.1f} s.",
            "",
            "## Gates, on held-out data",
            "",
            *["| metric | bound | value | verdict |", "|---|---|---|---|", *gates],
            "",
            *["| metric | value |", "|---|---|", *metrics],
            "",
            *_variants(evaluation),
            *[wording.markdown([comparison]) for comparison in evaluation["against"]],
            *[f"![{text}]({file})" for text, file in plots.items()],
            "",
        ]
    )


def _variants(evaluation: dict[str, Any]) -> list[str]:
    """The original and its compressed forms side by side."""
    if not evaluation["variants"]:
        return []
    metrics = list(evaluation["metrics"])
    rows = [
        f"| {form.get('technique', 'original')} | {form['size'] / 1024:.0f} KiB | {form['size'] / evaluation['size']:.2f} "
        f"| {form['milliseconds']:.2f} ms | {' | '.join(wording.number(form['metrics'][metric]) for metric in metrics)} |"
        for form in [evaluation, *evaluation["variants"]]
    ]
    bounds = [f"{v['technique']}: {g['metric']} {g['bound']}" for v in evaluation["variants"] for g in v["gates"]]
    head = f"| form | weights | of the original | one answer | {' | '.join(metrics)} |"
    legend = f"Bounds: {'; '.join(bounds)}. One answer: the fastest of some, in this process, with the decoding of its input."
    return ["## Compressed forms, on the same data", "", head, "|---" * (4 + len(metrics)) + "|", *rows, "", legend, ""]


def _plot_loss(path: Path, loss: list[float]) -> None:
    figure, axes = _axes("Loss while training", "epoch", "loss")
    axes.plot(range(1, len(loss) + 1), loss)
    if max(loss) > 0:
        axes.set_yscale("log", nonpositive="mask")  # an exact fit ends at 0
    figure.savefig(path)


def _plot_predictions(path: Path, predictions: np.ndarray, targets: np.ndarray) -> None:
    figure, axes = _axes("Held-out data", "true", "predicted")
    true, predicted = np.ravel(targets), np.ravel(predictions)
    ends = [true.min(), true.max()]
    axes.plot(ends, ends, color="0.7", label="exact", zorder=1)
    axes.scatter(true, predicted, label="model", zorder=2)
    axes.legend()
    figure.savefig(path)


def _plot_confusion(path: Path, labels: list[str], scores: np.ndarray, targets: np.ndarray) -> None:
    counts = np.zeros([len(labels)] * 2, int)
    np.add.at(counts, (targets, scores.argmax(1)), 1)
    figure, axes = _axes(f"Held-out data: {counts.trace()} of {counts.sum()} right", "predicted", "true")
    axes.grid(visible=False)
    # The colour is of the errors: on a scale of all counts, the diagonal would be all that one sees.
    errors = counts - np.diag(counts.diagonal())
    axes.imshow(errors, cmap="Reds", vmin=0, vmax=max(2 * errors.max(), 1))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column, row, str(count), ha="center", va="center", fontsize=8, color="0.5" if row == column else "k"
            )
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    figure.savefig(path)


def _plot_worst(path: Path, model: ModuleType, scores: np.ndarray, held_out) -> None:
    """The errors in which the right class scored least, as the network saw them where that is a picture."""
    wrong = np.flatnonzero(scores.argmax(1) != held_out.targets)
    worst = wrong[np.argsort(scores[wrong, held_out.targets[wrong]], kind="stable")][:ERRORS]
    figure = _figure(1.3 + 1.6 * max(-(-len(worst) // 6), 1))
    figure.suptitle(f"The worst {len(worst)} of {len(wrong)} errors" if len(wrong) else "No errors")
    if not len(worst):
        figure.savefig(path)
        return
    seen = np.asarray(model.features(held_out.inputs(list(map(int, worst)))))
    for axes, index, picture in zip(
        figure.subplots(-(-len(worst) // 6), 6, squeeze=False).flat, worst, seen, strict=False
    ):
        predicted = scores[index].argmax()
        axes.set_title(
            f"{model.LABELS[held_out.targets[index]]}, taken for\n{model.LABELS[predicted]} ({scores[index, predicted]:.0%})",
            fontsize=8,
        )
        if picture.ndim in (2, 3):
            square = (
                picture.shape[0] == picture.shape[1]
            )  # else a spectrogram, time first: shown to the right, and high above low
            axes.imshow(picture if square else np.rot90(picture), cmap="gray_r", aspect="equal" if square else "auto")
    for axes in figure.axes:
        axes.set_axis_off()
    figure.savefig(path)


def _figure(height: float = 4):
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=(6.5, height), dpi=120, layout="constrained")


def _axes(title: str, x: str, y: str):
    figure = _figure()
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
