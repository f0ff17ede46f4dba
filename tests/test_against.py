"""evaluate --against: a candidate that is worse than what serves, or that breaks its clients, is refused."""

from types import SimpleNamespace
from typing import Any

import pytest

from model import Gate
from scripts.release.releases import Release
from scripts.reports import wording
from tests.support.fork import INSTANT, Fork


@pytest.fixture
def serving(fork: Fork) -> Fork:
    """A fork that serves a model without any error."""
    fork.release()
    fork.ok("deploy", "local")
    return fork


def judge(fork: Fork, old: str, new: str):
    """Trains and evaluates the model with `new` in the place of `old`, against what serves."""
    assert old in INSTANT
    fork.write_model(INSTANT.replace(old, new))
    fork.given("train")
    return fork.run("evaluate", "--against", "local")


def test_the_first_deployment_is_judged_by_its_own_gates(fork: Fork) -> None:
    fork.given("train")
    fork.ok("evaluate", "--against", "local")
    against = fork.read("build/instant/evaluation.json")["against"][0]
    assert against["rule"] == "local serves no model instant yet: only its own gates decide"
    assert (
        "**instant**: local serves no model instant yet: only its own gates decide."
        in (fork.root / "build/instant/card.md").read_text()
    )


def test_one_that_is_as_good_passes(serving: Fork) -> None:
    result = judge(serving, "[[SLOPE]]", "[[SLOPE * 1.0]]")
    assert result.code == 0, result.err
    assert "local: loss of max_absolute_error  <= 0      0      passed" in result.out
    against = serving.read("build/instant/evaluation.json")["against"][0]
    assert (against["changed_held_out"], against["changed_examples"]) == (0, 0)
    assert against["latency_ratio"] > 0
    serving.ok("export")


def test_one_that_is_worse_is_refused_though_its_own_gates_pass(serving: Fork) -> None:
    result = judge(serving, "[[SLOPE]]", "[[SLOPE + 0.00002]]")
    assert result.code == 1
    assert "max_absolute_error                 <= 0.001  0.0004005  passed" in result.out
    assert "error: instant is refused: local: loss of max_absolute_error is 0.0004005, which must be <= 0" in result.err
    assert serving.run("export").code == 1


def test_slack_is_what_it_may_lose(serving: Fork) -> None:
    serving.write_model(
        INSTANT.replace("[[SLOPE]]", "[[SLOPE + 0.00002]]").replace("at_most=0.001", "at_most=0.001, slack=0.0005")
    )
    serving.given("train")
    serving.ok("evaluate", "--against", "local")


def test_answers_that_change_are_counted(serving: Fork) -> None:
    """Another truth: as good on its own data, and yet every client gets other answers."""
    serving.write_model(SLOPE="3.0")
    serving.given("train")
    serving.ok("evaluate", "--against", "local")
    against = serving.read("build/instant/evaluation.json")["against"][0]
    assert (against["changed_held_out"], against["changed_examples"]) == (1, 1)
    assert against["metrics"]["max_absolute_error"] == {"before": 20, "after": 0}  # of the old model, on the new data


def test_a_serving_model_whose_metric_is_no_number_refuses(serving: Fork) -> None:
    """Then nobody knows whether the candidate is worse. JSON has no NaN: null stands for it."""
    error = "float(np.abs(predictions - targets).max())"
    never = f"{error} if {error} < 1 else float('nan')"
    serving.write_model(INSTANT.replace(error, never), SLOPE="3.0")
    serving.given("train")
    result = serving.run("evaluate", "--against", "local")
    assert result.code == 1
    refused = "instant is refused: local: loss of max_absolute_error is not a number, which must be <= 0"
    assert f"error: {refused}" in result.err
    (against,) = serving.read("build/instant/evaluation.json")["against"]
    assert against["metrics"]["max_absolute_error"] == {"before": None, "after": 0}
    assert "| instant | max_absolute_error | not a number | 0 |" in (serving.root / "build/instant/card.md").read_text()


def test_an_undeclared_break_is_refused_and_a_declared_one_is_not(serving: Fork) -> None:
    renamed = INSTANT.replace('name="x"', 'name="z"').replace('inputs={"x"', 'inputs={"z"')
    serving.write_model(renamed)
    serving.given("train")
    result = serving.run("evaluate", "--against", "local")
    assert result.code == 1
    problem, remedy = result.err.splitlines()[-2:]
    assert problem.startswith("error: instant is refused: it breaks the clients of release ")
    assert problem.endswith("which serves in local: input 'x' is gone; input 'z' is new, and no client sends it")
    assert remedy == "  next: keep what clients send and get, or declare the break: SIGNATURE = 2 in model/instant.py"
    assert serving.run("export").code == 1
    serving.write_model(renamed + "\nSIGNATURE = 2\n")
    serving.given("train")
    serving.ok("evaluate", "--against", "local")
    assert serving.read("build/instant/evaluation.json")["against"][0]["rule"].startswith(
        "a declared break with the clients of local"
    )
    serving.ok("export")
    assert serving.read("build/release/release.json")["models"][0]["signature_number"] == 2


def test_a_model_that_is_lost_is_refused_until_it_is_retired(serving: Fork) -> None:
    """Dropped or renamed: its clients would get 404. Nothing is trained to know it."""
    serving.write_model(INSTANT.replace('"instant"', '"renamed"'))
    result = serving.run("evaluate", "--against", "local")
    problem, remedy = result.err.splitlines()[-2:]
    assert result.code == 1
    assert problem.startswith("error: local serves instant, of release ")
    assert remedy == (
        "  next: keep it under that NAME, or declare the break: "
        'retired = ["instant"] in [tool.pipeline] of pyproject.toml'
    )
    serving.edit("pyproject.toml", 'models = ["instant"]', 'models = ["instant"]\nretired = ["instant"]')
    serving.given("train")
    result = serving.ok("evaluate", "--against", "local")
    assert "a declared break with the clients of local: instant is retired" in result.err


def test_a_release_carries_what_a_pull_request_shows(serving: Fork) -> None:
    """Noted by export, also after an export without it; no part of what goes into the image."""
    release = serving.read("build/release/release.json")
    assert judge(serving, "[[SLOPE]]", "[[SLOPE * 1.0]]").code == 0
    serving.commit("as good")  # one that is not committed has the time of its export
    serving.ok("export")
    document = serving.read("build/release/release.json")
    assert wording.of_release(document, "local").startswith(f"""\
## Beside release `{release["id"][:12]}`, which serves in local

| model | metric | serves now | candidate |
|---|---|---|---|
| instant | max_absolute_error | 0 | 0 |

- **instant**: 0.0% of the held-out answers change, and 0 of its 1 golden examples; an answer takes """)
    assert wording.of_release(document, "staging") == (
        "This release was not compared with what staging serves: `./pipeline evaluate --against staging` does that.\n"
    )
    serving.ok("evaluate")
    serving.ok("export")
    without = serving.read("build/release/release.json")
    assert without == {key: value for key, value in document.items() if key != "against"} | {"against": []}
    assert Release(serving.root, without).made == Release(serving.root, document).made


SAME: dict[str, Any] = {
    "inputs": {"x": {"dtype": "string", "shape": [None]}},
    "outputs": {"y": {"dtype": "float32", "shape": [None, 2]}},
}
TENSOR = {"dtype": "float32", "shape": [None, 2]}
BREAKS = {
    "none": (SAME, ["a", "b"], []),
    "second output": (
        SAME | {"outputs": SAME["outputs"] | {"z": TENSOR}},
        ["a", "b"],
        ["output 'y' is not the only one any more: TensorFlow Serving's rows then hold outputs by name"],
    ),
    "other order of classes": (SAME, ["b", "a"], ["the classes are b, a, and were a, b"]),
    "one more class": (SAME, ["a", "b", "c"], ["the classes are a, b, c, and were a, b"]),
    "lost output": (SAME | {"outputs": {"z": TENSOR}}, ["a", "b"], ["output 'y' is gone"]),
    "another type": (SAME | {"inputs": {"x": TENSOR}}, ["a", "b"], ["input 'x' is float32, and was string"]),
    "batch of one": (
        SAME | {"inputs": {"x": {"dtype": "string", "shape": [1]}}},
        ["a", "b"],
        ["input 'x' has the shape [1], and had [None]"],
    ),
    "another size of answer": (
        SAME | {"outputs": {"y": {"dtype": "float32", "shape": [None, 3]}}},
        ["a", "b"],
        ["output 'y' has the shape [None, 3], and had [None, 2]"],
    ),
    "any size of answer": (
        SAME | {"outputs": {"y": {"dtype": "float32", "shape": [None, None]}}},
        ["a", "b"],
        ["output 'y' has the shape [None, None], and had [None, 2]"],
    ),
    "unknown shape taken": (SAME | {"inputs": {"x": {"dtype": "string", "shape": None}}}, ["a", "b"], []),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_breaks_clients(case: str) -> None:
    from scripts.training import beside  # imports TensorFlow, which the other processes of a run need not

    signature, labels, expected = BREAKS[case]
    signatures = {"serving_default": SimpleNamespace(document=signature)}
    candidate = SimpleNamespace(signatures=signatures, model=SimpleNamespace(LABELS=labels))
    assert list(beside._breaks({"signature": SAME, "labels": ["a", "b"]}, candidate)) == expected  # ty: ignore[invalid-argument-type]


def test_a_metric_that_became_no_number_is_worse() -> None:
    assert not Gate("a", at_least=0.5).loss(0.9, float("nan")) <= 1
    assert Gate("a", at_least=0.5).loss(0.9, 0.8) == pytest.approx(0.1)
    assert Gate("a", at_most=0.5).loss(0.1, 0.3) == pytest.approx(0.2)
