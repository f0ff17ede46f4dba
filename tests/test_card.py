"""Cards by kind of task, from plain arrays: what is drawn of which predictions, and that no plot ever fails a verdict."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model import Data, Split
from scripts.reports import card, fonts, tasks, wording
from scripts.training import separation

LABELS = ["one", "two", "three"]
CURVES = {"loss": [1.0, 0.1, None, 0.0], "val_loss": [1.0, 0.5, 0.4, 0.3], "accuracy": [0.5, 0.8, 0.9, 1.0]}
CLASS = np.arange(30) % 3
SCORES = np.eye(3)[np.arange(1, 31) % 3] * 0.8 + 0.2 / 3 * np.ones([30, 3])
SCORES[:20] = np.eye(3)[CLASS[:20]]
YES = np.arange(40) % 2
SHARE = np.clip(YES * 0.4 + np.linspace(0, 0.6, 40), 0, 1)
NUMBERS = np.linspace(-3, 3, 40)


def ragged(*rows: Any) -> np.ndarray:
    array = np.empty(len(rows), object)
    array[:] = [np.array(row) for row in rows]
    return array


def model(labels: list[str] | None = None, of: Any = None, features: Any = lambda inputs: inputs) -> Any:
    return SimpleNamespace(NAME="m", __doc__="A model.", LABELS=labels or [], PREDICTIONS=of, features=features)


WAVES = np.sin(np.arange(6) + np.arange(20)[:, None])
SOME = (np.arange(60).reshape(20, 3) % [2, 3, 5] == 0).astype(int)
# Name: labels, predictions, targets, and the kind that it is.
KINDS: dict[str, tuple[list[str], Any, Any, str]] = {
    "a share of yes": ([], SHARE[:, None], YES, tasks.BINARY),
    "a logit, and booleans": ([], NUMBERS, YES[:, None].astype(bool), tasks.BINARY),
    "a softmax of two": (["no", "yes"], np.stack([1 - SHARE, SHARE], 1), YES.astype("float32"), tasks.BINARY),
    "a share, and words": (["no", "yes"], SHARE.astype("float16"), np.array(["no", "yes"])[YES], tasks.BINARY),
    "classes": (LABELS, SCORES, CLASS, tasks.CLASSES),
    "targets of a column": (LABELS, SCORES, CLASS[:, None], tasks.CLASSES),
    "targets one-hot": (LABELS, SCORES, np.eye(3)[CLASS], tasks.CLASSES),
    "targets in words": (LABELS, SCORES, np.array(LABELS, object)[CLASS], tasks.CLASSES),
    "targets in bytes": (LABELS, SCORES, np.char.encode(np.array(LABELS)[CLASS]).astype(object), tasks.CLASSES),
    "no names": ([], SCORES, CLASS, tasks.CLASSES),
    "more classes than names": (["one"], SCORES, CLASS, tasks.CLASSES),
    "the class alone": (LABELS, CLASS[::-1], CLASS, tasks.CLASSES),
    "the word alone": ([], np.array(["a", "b", "c"])[CLASS[::-1]], np.array(["a", "b", "c"])[CLASS], tasks.CLASSES),
    "any of three": (LABELS, np.clip(SOME * 0.5 + 0.3, 0, 1), SOME, tasks.ANY),
    "numbers": ([], NUMBERS[:, None] + 0.1, NUMBERS, tasks.NUMBER),
    "whole numbers": ([], NUMBERS.round() + 0.1, NUMBERS.round().astype("int64"), tasks.NUMBER),
    "some not a number": ([], np.where(YES, np.nan, NUMBERS), NUMBERS, tasks.NUMBER),
    "series": ([], WAVES + 0.1, WAVES, tasks.SERIES),
    "series of any length": ([], ragged([[0.1], [0.2]], [[1.0]]), ragged([0.5, 0.0], [1.0]), tasks.SERIES),
    "tags of any length": (LABELS, ragged(SCORES[:2], SCORES[2:7]), ragged(CLASS[:2], CLASS[2:7]), tasks.CLASSES),
    "a map of classes": (LABELS, SCORES.reshape(5, 2, 3, 3), CLASS.reshape(5, 2, 3), tasks.CLASSES),
    "boxes beside fewer boxes": ([], np.zeros([9, 4]), np.zeros([9, 7]), tasks.NONE),
    "words that are no label": (["a", "b"], np.array(["a", "c"]), np.array(["a", "b"]), tasks.NONE),
    "not a number at all": ([], np.full(40, np.nan), NUMBERS, tasks.NONE),
    "series cut short": ([], ragged([0.1, 0.2], [1.0]), ragged([0.0], [1.0]), tasks.NONE),
    "nothing held out": ([], np.zeros([0, 1]), np.zeros([0]), tasks.NONE),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_is_seen_in_the_arrays(name: str) -> None:
    labels, predictions, targets, kind = KINDS[name]
    (task,) = tasks.read(model(labels), predictions, targets)
    assert task.kind == kind, task
    assert kind != tasks.CLASSES or (task.truth.tolist() == CLASS[: len(task.truth)].tolist())
    assert kind != tasks.BINARY or task.truth.tolist() == YES.tolist()


def test_each_head_is_read_beside_its_own_truth() -> None:
    heads = {"category": SCORES, "price": NUMBERS[:30], "label": np.array([b"one"] * 30, object)}
    found = tasks.read(model(LABELS, ["price", "category"]), heads, {"category": CLASS, "price": NUMBERS[:30]})
    assert [(task.name, task.kind, task.labels) for task in found] == [
        ("category", tasks.CLASSES, LABELS),
        ("price", tasks.NUMBER, []),
    ]


def test_of_several_outputs_beside_one_truth_the_scores_are_read() -> None:
    outputs = {"class": CLASS, "label": np.array(LABELS, object)[CLASS], "scores": SCORES}
    assert [task.name for task in tasks.read(model(LABELS), outputs, CLASS)] == ["scores"]
    assert tasks.read(model(), None, None) == tasks.read(model(), SCORES, None) == []


def write(
    folder: Path,
    module: Any,
    predictions: Any,
    targets: Any,
    inputs: Any = None,
    curves: Any = None,
    weights: Any = None,
) -> str:
    """The card; `inputs` are of all held-out examples, or a function."""
    evaluation = {"id": "a" * 64, "passed": True, "gates": [], "metrics": {"m": 1.0}, "variants": [], "against": []}
    history = {"seconds": 1.0, "trained": curves is not None, "curves": curves or {}}
    inputs = np.arange(4000.0)[:, None] if inputs is None else inputs
    read = inputs if callable(inputs) else lambda which: inputs[which]
    held_out = SimpleNamespace(targets=targets, weights=weights, inputs=read)
    card.write(folder, module, evaluation, history, predictions, held_out)
    return (folder / "card.md").read_text()


DRAWN = {
    "a share of yes": ["confusion.png", "curves.png"],
    "classes": ["confusion.png"],
    "any of three": ["labels.png"],
    "numbers": ["predictions.png"],
    "series of any length": ["series.png"],
    "boxes beside fewer boxes": [],
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_kind_has_its_plots(tmp_path: Path, name: str) -> None:
    labels, predictions, targets, _ = KINDS[name]
    text = write(tmp_path, model(labels), predictions, targets)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == DRAWN[name]
    assert sorted(re.findall(r"!\[.*\]\((.*)\)", text)) == DRAWN[name]
    assert "not drawn" not in text
    assert "trained elsewhere" in text
    assert "![" not in (tmp_path / "summary.md").read_text()


def test_examples_that_weigh_nothing_are_in_no_curve(tmp_path: Path) -> None:
    """Every score is right once the wrong ones weigh nothing."""
    labels, predictions, targets, _ = KINDS["a share of yes"]
    right = (predictions[:, 0] > 0.5) == targets
    assert not right.all()
    write(tmp_path, model(labels), predictions, targets, weights=right.astype(float))
    summary = (tmp_path / "summary.md").read_text()
    assert "| 0.5 | 1.000 | 1.000 | 1.000 |" in summary
    assert "weigh the examples as `weights` says; counts are of examples" in summary


def test_pictures_are_shown_and_anything_else_is_a_row(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).uniform(size=[30, 8, 8, 1])
    assert "errors.png" in write(tmp_path, model(LABELS), SCORES, CLASS, pictures, CURVES)
    assert (tmp_path / "errors.png").exists() and (tmp_path / "loss.png").exists()
    columns = {"text": np.array([f"café | {n}" for n in range(30)], object), "size": np.arange(30)}
    text = write(tmp_path, model(LABELS), SCORES, CLASS, lambda which: {k: v[which] for k, v in columns.items()})
    assert "| text | size | true | predicted | score |" in text
    assert "| <code>café &#124; 20</code> | 20 | three | one | 0.8667 |" in text


def refuse(*_: Any) -> Any:
    raise OSError("the data are gone")


@pytest.mark.parametrize(
    ("inputs", "features"), [(refuse, lambda inputs: inputs), (None, refuse)], ids=["inputs", "features"]
)
def test_what_cannot_be_drawn_is_a_line(tmp_path: Path, inputs: Any, features: Any) -> None:
    text = write(tmp_path, model(LABELS, features=features), SCORES, CLASS, inputs)
    assert "worst errors: not drawn: <code>OSError&#58; the data are gone</code>\n" in text
    assert (tmp_path / "confusion.png").exists()
    assert "not drawn" in (tmp_path / "summary.md").read_text()


def test_no_predictions_at_all_is_a_card_too(tmp_path: Path) -> None:
    text = write(tmp_path, model(LABELS), {"scores": SCORES}, {"scores": object()}, curves={"loss": ["no number"]})
    assert text.count("not drawn") == 2


WORDS = ["错误", "العربية", "हिन्दी", "$5–$10", "<b>&@me", "x|y"]


def test_labels_of_any_script_are_drawn(tmp_path: Path) -> None:
    scores, truth = np.eye(6)[np.arange(30) % 6], np.arange(30) * 5 % 6
    assert "No font here has" not in write(tmp_path, model(WORDS), scores, truth)
    for line in (tmp_path / "summary.md").read_text().splitlines():
        assert not line.startswith("| **") or line.count("|") == 8, line
    boxes = write(tmp_path, model([*WORDS[:5], "བོད"]), scores, truth)
    assert "No font here has ད བ" in boxes


def test_without_its_fonts_a_card_says_which_signs_are_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_families", list)
    scores, truth = np.eye(6)[np.arange(30) % 6], np.arange(30) * 5 % 6
    assert re.search("No font here has .*误.*: boxes stand for them", write(tmp_path, model(WORDS), scores, truth))


def test_a_thousand_labels_fit_on_a_page(tmp_path: Path) -> None:
    truth = np.arange(4000) % 1000
    scores = np.eye(1000, dtype="float32")[np.where(np.arange(4000) % 4, truth, (truth * 7 + 1) % 1000)]
    text = write(tmp_path, model([f"class {n} ({'x' * 80})" for n in range(1000)]), scores, truth)
    assert "[confusions.csv](confusions.csv)" in text
    wrong = int((scores.argmax(1) != truth).sum())
    counts = [int(line.rpartition(",")[2]) for line in (tmp_path / "confusions.csv").read_text().splitlines()[1:]]
    assert sum(counts) == wrong and len(counts) == 250
    summary = (tmp_path / "summary.md").read_text()
    assert len(summary) < 20_000 and f"`{tmp_path}/confusions.csv`" in summary


def test_a_summary_is_cut_at_a_line_and_closes_its_fence() -> None:
    text = "```mermaid\n" + "  line [1.0]\n" * 20_000 + "```\n"
    cut = card._cut(text, "More.")
    assert len(cut) < 65_536 and cut.endswith("  line [1.0]\n```\n\nMore.\n")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Straße 5", "Straße 5"),
        ("a_b", "a_b"),
        ("x|y", "<code>x&#124;y</code>"),
        ("@team #1", "<code>&#64;team &#35;1</code>"),
        ("$x$", "<code>&#36;x&#36;</code>"),
        ("a\n| b", "<code>a &#124; b</code>"),
        ("_a_", "<code>&#95;a&#95;</code>"),
        ("x" * 99, "x" * 59 + "…"),
    ],
)
def test_a_name_stays_a_name_in_markdown(text: str, written: str) -> None:
    assert wording.name(text) == written


FORMS: dict[str, tuple[Any, Any, int | None]] = {
    "an array": (np.eye(4), np.eye(4)[[1, 1]] * [[1], [2]], 1),
    "named arrays": ({"a": np.arange(3), "b": ["x", "y", "z"]}, {"a": np.array([0, 1]), "b": ["x", "z"]}, 1),
    "bytes": ([b"\0", b"a\0"], [b"a", b"a\0"], 1),
    "of several lengths": (ragged([1, 2], [3]), ragged([3], [1], [3]), 2),
    "none": (np.eye(2), -np.eye(2), 0),
    "a stream": (lambda: iter([]), np.eye(2), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_trained_on_is_found_among_the_held_out(form: str) -> None:
    train, held_out, shared = FORMS[form]
    assert separation.shared(Data(Split(train), Split(held_out))) == shared
