"""Each action is given what its action.yml declares. A runner only warns of another input, and an output that is not there is empty."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.fork import ROOT

DECLARED = YAML(typ="safe", pure=True).load(Path(__file__).with_name("inputs.yml").read_text())
FILES = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/action.yml")]


def jobs() -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    """Each job's place, its steps, and the whole of it as text."""
    for path in FILES:
        document = YAML(typ="safe", pure=True).load(path.read_text())
        for name, job in (document.get("jobs") or {"runs": document.get("runs")}).items():
            yield f"{path.relative_to(ROOT)}, {name}", job.get("steps", []), str(job)


JOBS = {place: (steps, text) for place, steps, text in jobs()}


def action(step: dict[str, Any]) -> str:
    name = step.get("uses", "").partition("@")[0]
    return "" if name.startswith("./") else name


@pytest.mark.parametrize("place", JOBS)
def test_a_step_gives_inputs_that_there_are_and_that_are_not_deprecated(place: str) -> None:
    for step in JOBS[place][0]:
        if known := DECLARED.get(name := action(step)):  # a fork's own action need not be there
            given = step.get("with", {}).keys()
            assert given - set(known["inputs"]) == set(), name
            assert set(known.get("required", [])) - given == set(), name


@pytest.mark.parametrize("place", JOBS)
def test_an_output_that_is_read_is_one_that_there_is(place: str) -> None:
    steps, text = JOBS[place]
    actions = {step["id"]: action(step) for step in steps if "id" in step and action(step) in DECLARED}
    for name, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert name not in actions or output in DECLARED[actions[name]]["outputs"], f"{name}: {output}"
