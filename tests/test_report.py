"""What a pull request is told, and new data: the release, the metrics beside main's, the manifests; one comment, one issue."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.github import sticky
from tests.support.fork import INSTANT, ROOT, Fork

IMAGE = {"name": "registry.example.com/model", "digest": f"sha256:{'1' * 64}"}
STATE = {"repository": {"full_name": "acme/Model", "private": False}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork whose dev has a release in its ledger."""
    fork = Fork(tmp_path_factory.mktemp("report") / "fork")
    fork.release()
    path = fork.root / "build/release/release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image": IMAGE}))
    fork.ok("promote", "dev")
    fork.git("tag", "made")
    shutil.copytree(fork.root / "build/instant", fork.root / "build/kept")
    yield fork
    fork.clean_up()


@pytest.fixture
def released(made: Fork) -> Fork:
    """The same, as it was made; `base` is where a pull request would be merged."""
    made.git("checkout", "-q", "-f", "-B", "main", "made")
    made.git("clean", "-dfq")
    made.git("branch", "-q", "-f", "base", "made")
    shutil.copytree(made.root / "build/kept", made.root / "build/instant", dirs_exist_ok=True)
    return made


def report(fork: Fork) -> str:
    fork.ok("report", "--against", "base")
    return (fork.root / "build/report.md").read_text()


def test_a_change_that_decides_no_answer_makes_no_release(released: Fork) -> None:
    (released.root / "docs/note.md").write_text("a note\n")
    released.commit("a note")
    text = report(released)
    assert "stays: nothing that decides its answers changes, so nothing is trained or built" in text
    assert "| instant | max_absolute_error | 0 | 0 | <= 0.001 |" in text
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        f"- {name}: no difference" for name in ("dev", "staging", "production")
    ]


def test_a_new_model_stands_beside_mains(released: Fork) -> None:
    before = released.read("build/release/release.json")["id"][:12]
    released.write_model(INSTANT.replace("weights([np.array([[SLOPE]]", "weights([np.array([[SLOPE + 1e-5]]"))
    released.commit("a little off")
    released.given("train")
    assert released.run("evaluate", "--against", "dev").code == 1  # it loses a little, and no slack is granted
    text = report(released)
    assert f"### Beside release `{before}`, which serves in dev" in text and "which must be <= 0: **refused**" in text
    assert f"takes the place of `{before}`" in text
    assert re.search(r"\| instant \| max_absolute_error \| 0 \| 0\.00019\d+ \| <= 0\.001 \|", text)


def test_a_refused_model_is_said_with_its_metrics(released: Fork) -> None:
    released.write_model(INSTANT.replace("weights([np.array([[SLOPE]]", "weights([np.array([[SLOPE + 1]]"))
    released.commit("far off")
    released.given("train")
    assert released.run("evaluate").code == 1
    assert "| instant | max_absolute_error | 0 | 20 | <= 0.001: **refused** |" in report(released)


def test_a_model_that_was_not_judged_says_so(fork: Fork) -> None:
    fork.git("branch", "-q", "base")
    fork.write_model(SLOPE="3.0")
    fork.commit("steeper")
    assert "| instant | – | – | there is no usable build/instant/evaluation.json | |" in report(fork)


def test_the_manifests_of_every_environment(released: Fork) -> None:
    """What others did on main since this branch left is none of its business."""
    released.edit("k8s/base/service.yaml", "port: 8501", "port: 80")
    (released.root / "k8s/overlays/canary").mkdir()
    for name in ("architectures.yaml", "kustomization.yaml", "objectives.yaml", "replicas.yaml", "resources.yaml"):
        text = (released.root / "k8s/overlays/staging" / name).read_text()
        (released.root / "k8s/overlays/canary" / name).write_text(text.replace("serving-staging", "serving-canary"))
    released.commit("port 80, and a canary")
    released.git("checkout", "-q", "base")
    released.edit("k8s/overlays/dev/replicas.yaml", "replicas: 1", "replicas: 9")
    released.commit("somebody else's")
    released.git("checkout", "-q", "main")
    text = report(released)
    assert text.count("Service/serving spec.ports[rest].port: 8501 → 80") == 3
    assert "canary: 5 differences" in text and "Deployment/serving: is added" in text
    assert "replicas" not in text.partition("canary")[0]


def test_a_revision_that_is_not_here(fork: Fork) -> None:
    result = fork.run("report", "--against", "origin/main")
    assert (result.code, result.err.splitlines()[0]) == (1, "error: this clone has no revision 'origin/main'")


def test_nothing_to_post(fork: Fork) -> None:
    result = fork.run("report", "--post", "7")
    assert (result.code, result.err) == (1, "error: there is no build/report.md to post\n  next: ./pipeline report\n")


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the GitHub that the stand-in for `gh` keeps."""
    state = tmp_path / "github.json"
    state.write_text(json.dumps(STATE))
    monkeypatch.setenv("STAND_IN_STATE", str(state))
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/Model")
    monkeypatch.setenv("PATH", f"{ROOT / 'tests/workflows/bin'}{os.pathsep}{os.environ['PATH']}")
    return state


def test_a_comment_is_rewritten_and_others_are_left(github: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sticky, "PAGE", 2)  # the stand-in knows no pages: it is asked again only if it gave two
    addresses = [sticky.comment(7, "report", text) for text in ("first", "second")]
    sticky.comment(7, "other", "another kind")
    comments = json.loads(github.read_text())["comments"]
    assert addresses[0] == addresses[1]
    assert [c["body"] for c in comments] == [
        "<!-- pipeline: report -->\nsecond",
        "<!-- pipeline: other -->\nanother kind",
    ]


def test_a_text_longer_than_github_takes_is_cut(github: Path) -> None:
    sticky.comment(7, "report", "x" * 100_000)
    (comment,) = json.loads(github.read_text())["comments"]
    assert len(comment["body"]) < 65_536 and comment["body"].endswith("The rest is in the summary of the run.")


def test_somebody_elses_issue_is_not_taken_for_ours(github: Path) -> None:
    github.write_text(
        json.dumps(
            STATE
            | {
                "issues": [
                    {
                        "number": 1,
                        "state": "open",
                        "labels": [],
                        "title": "mine",
                        "body": "<!-- pipeline: drift -->\nopened by a stranger",
                    },
                    {
                        "number": 2,
                        "state": "open",
                        "labels": [{"name": "drift"}],
                        "title": "a question",
                        "body": "what is drift?",
                    },
                ],
                "last": 2,
            }
        )
    )
    assert sticky.close_issue("drift", "clean") is None
    sticky.issue("drift", "title", "text")
    assert [(i["number"], i["title"]) for i in json.loads(github.read_text())["issues"]] == [
        (1, "mine"),
        (2, "a question"),
        (3, "title"),
    ]


def test_drift_of_a_file_that_is_corrupt(released: Fork) -> None:
    (released.root / "build/status").mkdir(exist_ok=True)
    (released.root / "build/status/dev.json").write_text("{")
    result = released.run("drift", "build/status")
    assert result.code == 1 and result.err.startswith("error: build/status/dev.json is corrupt: ")


def test_the_ledgers_are_outputs_of_the_step(released: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    released.ok("ledgers")
    text = (tmp_path / "output").read_text()
    assert '["dev"]' in text and f'["{IMAGE["name"]}@{IMAGE["digest"]}"]' in text


REFRESH = """

def refresh() -> None:
    import pathlib
    {}
"""


def refreshing(fork: Fork, *lines: str) -> None:
    fork.write_model(INSTANT + REFRESH.format("\n    ".join(lines)))
    fork.commit("refresh")


def test_new_data_is_a_patch_and_a_new_release(fork: Fork) -> None:
    refreshing(
        fork,
        "pathlib.Path('model/instant').mkdir()",
        "pathlib.Path('model/instant/day.bin').write_bytes(bytes(range(256)))",
    )
    before = fork.ok("report", "--against", "HEAD") and (fork.root / "build/report.md").read_text()
    assert "refresh    model/instant/day.bin" in fork.ok("refresh").err
    assert (fork.root / "build/report.md").read_text() == before
    fork.ok("report", "--against", "HEAD")
    assert (fork.root / "build/report.md").read_text() != before, "another release"
    fork.git("clean", "-dfq", "model")
    fork.git("apply", "build/refresh.patch")
    assert (fork.root / "model/instant/day.bin").read_bytes() == bytes(range(256))


@pytest.mark.parametrize(
    ("lines", "said"),
    [(["pass"], "refresh    nothing changed"), ([], "skipped    no model has SOURCES or refresh()")],
    ids=["the same data", "no refresh"],
)
def test_without_new_data_nothing_is_proposed(fork: Fork, lines: list[str], said: str) -> None:
    if lines:
        refreshing(fork, *lines)
    assert said in fork.ok("refresh").err
    assert (fork.root / "build/refresh.patch").read_text() == ""


@pytest.mark.parametrize("path", ["model/instant.py", "scripts/train.py", "README.md"])
def test_data_may_not_bring_code(fork: Fork, path: str) -> None:
    refreshing(fork, f"pathlib.Path({path!r}).write_text('')")
    result = fork.run("refresh")
    assert (result.code, result.err.splitlines()[-2]) == (
        1,
        f"error: refresh() changed {path}: it may bring data below model/, and no code",
    )


def test_changes_of_ones_own_are_not_taken_for_data(fork: Fork) -> None:
    (fork.root / "model/note.txt").write_text("mine")
    assert fork.run("refresh").err.startswith("error: the tree holds changes that are not committed")
