"""compare: trainings of several branches beside each other, from one checkout."""

import json

from tests.support.fork import Fork


def test_trainings_of_two_branches_with_what_was_changed(fork: Fork) -> None:
    assert "no training was judged" in fork.run("compare").err
    fork.release()
    (fork.root / "notes.txt").write_text("of no model\n")
    fork.ok("evaluate")  # the training stays that of its commit
    fork.git("checkout", "-q", "-b", "steeper")
    fork.write_model(SLOPE="3.0")
    for verb in ("train", "evaluate"):
        fork.ok(verb)
    shown = fork.ok("compare").out.splitlines()
    assert shown[0] == "instant" and shown[1].split() == [
        "training",
        "branch",
        "gates",
        "max_absolute_error",
        "changed",
    ]
    assert [line.split()[1:3] for line in shown[3:]] == [["main", "passed"], ["steeper*", "passed"]]
    assert shown[4].endswith("SLOPE 2.0 → 3.0")
    (chosen,) = json.loads(fork.ok("compare", "main", "--json", "-").out)
    assert (
        chosen["constants"] == {"SLOPE": 2.0} and chosen["environment"]["keras"] and len(chosen["curves"]["loss"]) == 1
    )
    assert "no training of 'other'" in fork.run("compare", "other").err


def test_a_refused_one_is_kept_too(fork: Fork) -> None:
    fork.edit("model/instant.py", "at_most=0.001", "at_most=-1.0")
    fork.given("train")
    assert fork.run("evaluate").code == 1
    assert "refused" in fork.ok("compare").out


def test_an_experiment_server_that_does_not_take_it_is_no_failure(fork: Fork, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    fork.given("train")
    assert "next: ./pipeline add mlflow-skinny" in fork.ok("evaluate").err
