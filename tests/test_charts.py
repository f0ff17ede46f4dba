"""The card's plots for the page of a run: what Mermaid reads, with nothing that it does not."""

import re

import numpy as np

from scripts.reports import charts

LINE = re.compile(r"^  line \[(-?\d+\.\d{4}|0)(, (-?\d+\.\d{4}|0))+\]$", re.M)


def test_a_loss_of_any_size_is_a_line_without_exponents() -> None:
    text = charts.loss([1e9, *(10.0**-n for n in range(300)), 0.0])
    assert text.startswith("```mermaid\nxychart-beta\n")
    assert text.endswith("\n```")
    values = [float(v) for v in re.search(r"line \[(.*)\]", text)[1].split(", ")]
    assert LINE.search(text)
    assert len(values) == charts.POINTS
    assert (values[0], values[-1]) == (9.0, -299.0)


def test_one_epoch_is_a_line_too() -> None:
    assert "  line [-1.0000, -1.0000]" in charts.loss([0.1])
    assert 'x-axis "epoch" 1 --> 2' in charts.loss([0.0])


def test_predictions_stand_in_the_order_of_the_truth() -> None:
    text = charts.predictions(np.array([[30.0], [np.nan], [21.0]]), np.array([[3.0], [1.0], [2.0]]))
    assert "  line [1.0000, 2.0000, 3.0000]\n  line [0, 21.0000, 30.0000]" in text


def test_a_confusion_marks_the_errors() -> None:
    scores = np.eye(2)[[0, 1, 1]]
    text = charts.confusion(["a", "b"], scores, np.array([0, 0, 1]))
    assert text.splitlines()[2:] == ["| | a | b |", "|---|---|---|", "| **a** | 1 | **1** |", "| **b** |  | 1 |"]
    assert "2 of 3 right" in text
