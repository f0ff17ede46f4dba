"""The card's plots for the page of a run: what Mermaid reads, with nothing that it does not."""

import re

import numpy as np

from scripts.reports import charts

LINE = re.compile(r"^  line \[(-?\d+\.\d{4}|0)(, (-?\d+\.\d{4}|0))+\]$", re.M)


def test_a_loss_of_any_size_is_a_line_without_exponents() -> None:
    text = charts.loss({"loss": [1e9, *(10.0**-n for n in range(300)), 0.0]})
    assert text.startswith("```mermaid\nxychart-beta\n")
    assert text.endswith("\n```")
    values = [float(v) for v in re.search(r"line \[(.*)\]", text)[1].split(", ")]
    assert LINE.search(text)
    assert len(values) == charts.POINTS
    assert (values[0], values[-1]) == (9.0, -299.0)


def test_one_epoch_is_a_line_too() -> None:
    assert "  line [-1.0000, -1.0000]" in charts.loss({"loss": [0.1]})
    assert 'x-axis "epoch" 1 --> 2' in charts.loss({"loss": [0.0]})


def test_predictions_stand_in_the_order_of_the_truth() -> None:
    text = charts.predictions(np.array([[30.0], [np.nan], [21.0]]), np.array([[3.0], [1.0], [2.0]]))
    assert "  line [1.0000, 2.0000, 3.0000]\n  line [0, 21.0000, 30.0000]" in text


def test_what_is_no_number_is_a_gap_and_what_is_no_loss_no_line() -> None:
    text = charts.loss({"loss": [1.0, None, 0.01], "val_loss": [0.1, 0.1, 0.1], "accuracy": [0.5, 0.6, 0.7]})
    assert "  line [0.0000, 0, -2.0000]\n  line [-1.0000, -1.0000, -1.0000]\n```" in text
    assert charts.loss({"accuracy": [0.5]}) == ""


def test_a_confusion_marks_the_errors() -> None:
    text = charts.confusion(["a", "b"], np.array([[1, 1], [0, 1]]))
    assert text.splitlines()[2:] == ["|  | a | b |", "|---|---|---|", "| **a** | 1 | **1** |", "| **b** |  | 1 |"]
    assert "2 of 3 right" in text
