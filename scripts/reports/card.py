"""The model card: the training, the gates, and plots, as Markdown in build/NAME/."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.reports import charts, fonts, sections, tasks, wording
from scripts.reports.sections import Section
from scripts.workspace import files

# Characters of summary.md: GitHub drops a step's summary beyond 1 MiB, and a step may judge a dozen models.
LIMIT = 60_000
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")  # a file of the run, which the run's page cannot show
ROWS = 60  # of metrics


def write(folder: Path, model: ModuleType, evaluation: dict, history: dict, predictions: Any, held_out: Any) -> None:
    """Writes card.md and its plots, by the kinds of task found in `predictions` and `held_out.targets` (tasks.py).

    summary.md is the same for the page of a workflow's run, which can show no file of the run. A plot that fails becomes a line in both: it
    does not affect the verdict.
    """
    with fonts.lettering() as missing:
        drawn = [_drawn(section, folder) for section in _sections(folder, model, history, predictions, held_out)]
    head = _text(model, evaluation, history)
    boxes = " ".join(map(wording.name, sorted(missing)))
    tail = f"No font here has {boxes}: boxes stand for them.\n" if missing else ""
    files.write(folder / "card.md", "\n".join(head) + "".join(card for card, _ in drawn) + tail)
    summary = "\n".join(head) + "".join(summary for _, summary in drawn) + tail
    files.write(folder / "summary.md", _cut(summary, f"The rest is in `{folder}/card.md`."))


def name_release(folder: Path, name: str) -> None:
    """Names the release that a card is in: a model which is not judged again may be in another than before."""
    for path in filter(Path.exists, (folder / "card.md", folder / "summary.md")):
        files.write(path, re.sub(r"(?m)^Release `[0-9a-f]+`", f"Release `{name[:12]}`", path.read_text(), count=1))


def _sections(folder: Path, model: ModuleType, history: dict, predictions: Any, held_out: Any) -> Iterator[Section]:
    yield from _guarded("loss by epoch", lambda: sections.training(history["curves"]))
    found: list[tasks.Task] = []
    yield from _guarded(
        "predictions", lambda: found.extend(tasks.read(model, predictions, held_out.targets, held_out.weights)) or []
    )
    asked = _looked_into(found)
    for task in found:
        inputs = held_out.inputs if task is asked else None
        yield from _guarded(task.name or "predictions", functools.partial(sections.of, task, model, inputs, folder))


def _looked_into(found: list[tasks.Task]) -> tasks.Task | None:
    """The task whose worst errors are shown: only one, since its inputs cost a pass over the data; a class goes before a number."""
    kinds = [tasks.CLASSES, tasks.BINARY, tasks.NUMBER]
    return min((task for task in found if task.kind in kinds), key=lambda task: kinds.index(task.kind), default=None)


def _guarded(title: str, make: Callable[[], Iterable[Section]]) -> Iterator[Section]:
    try:
        yield from make()
    except Exception as error:
        said = _failed(title, error)
        yield Section(title, text=lambda: said)


def _drawn(section: Section, folder: Path) -> tuple[str, str]:
    """A section as Markdown, for the card and for the summary."""
    try:
        text = section.text()
        figure = section.picture() if section.picture else None
        if figure:
            figure.savefig(folder / section.file)
        above = f"![{section.title}]({section.file})" if figure else ""
        return _joined(above, text), _joined(section.instead(), LINK.sub(rf"`{folder}/\1`", text))
    except Exception as error:
        said = _joined(_failed(section.title, error))
        return said, said


def _joined(*parts: str) -> str:
    return "".join(f"{part}\n\n" for part in parts if part)


def _failed(title: str, error: Exception) -> str:
    return f"{wording.name(title)}: not drawn: {wording.name(f'{type(error).__name__}: {error}', 200)}"


def _cut(text: str, remark: str) -> str:
    """`text` cut to at most LIMIT characters, after a whole line and outside of any fence."""
    if len(text) <= LIMIT:
        return text
    kept = text[:LIMIT].rpartition("\n")[0]
    fence = "\n```" if kept.count("```") % 2 else ""
    return f"{kept}{fence}\n\n{remark}\n"


def _text(model: ModuleType, evaluation: dict[str, Any], history: dict[str, Any]) -> list[str]:
    gates = [
        [wording.name(g["metric"]), g["bound"], wording.number(g["value"]), "passed" if g["passed"] else "**refused**"]
        for g in evaluation["gates"]
    ]
    metrics = [[wording.name(name), wording.number(value)] for name, value in evaluation["metrics"].items()]
    more = [f"… and {len(metrics) - ROWS} more, in evaluation.json", ""] if len(metrics) > ROWS else []
    return [
        f"# {model.NAME}: {'all gates passed' if evaluation['passed'] else 'REFUSED'}",
        "",
        (model.__doc__ or "").strip(),
        "",
        f"Release `{evaluation['id'][:12]}`, {_trained(history)}{_judged(evaluation)}.",
        "",
        *_sources(evaluation),
        f"## {'QUICK_GATES' if evaluation.get('quick') else 'Gates'}, on held-out data",
        "",
        charts.table(["metric", "bound", "value", "verdict"], gates),
        "",
        charts.table(["metric", "value"], metrics[:ROWS]),
        "",
        *more,
        *_variants(evaluation),
        *[wording.markdown([comparison]) for comparison in evaluation["against"]],
        "",
    ]


def _trained(history: dict[str, Any]) -> str:
    if not history.get("trained", True):
        return "trained elsewhere"
    epochs = max(map(len, history["curves"].values()), default=0)
    kind = ", a **quick training** of which no release is made" * history.get("quick", False)
    return f"{f'{epochs} epochs' if epochs else 'trained'} in {history['seconds']:.1f} s{kind}"


def _sources(evaluation: dict[str, Any]) -> list[str]:
    """The data and weights from elsewhere."""
    found = evaluation.get("sources", {}).items()
    rows = [[name, f"`{one['url']}`", files.shown_size(one["size"]), f"`{one['sha256'][:12]}`"] for name, one in found]
    return [charts.table(["source", "from", "size", "SHA-256"], rows), ""] if rows else []


def _judged(evaluation: dict[str, Any]) -> str:
    count, both = evaluation.get("examples"), evaluation.get("trained_on")
    known = f", **of which {both:,} are among the training data**" if both else ""
    return f", judged on {count:,} held-out example{'s' * (count != 1)}{known}" if count else ""


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
