"""Every kind of model that the contract holds, through the whole cycle, in one release."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import ROOT, Fork, in_process
from tests.support.kept import kept
from tests.support.shapes import refused_by_name

pytestmark = pytest.mark.timeout(900)  # seconds: the first test trains them all, however busy the machine

FOLDER = ROOT / "tests/models/kinds"
# Named columns, two heads, text, series of any length, a stream, trained elsewhere, tables and types.
KINDS = ["fares", "parcels", "moods", "waves", "sums", "ported", "codes"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork that serves all of them."""
    folder = tmp_path_factory.mktemp("kinds")
    made = Fork(folder / "made")
    for kind in KINDS:
        shutil.copy(FOLDER / f"{kind}.py", made.root / "model")
    (made.root / "model/codes").mkdir()
    (made.root / "model/codes/words.txt").write_text("a\nb\n")
    made.edit("pyproject.toml", 'models = ["linear_regression"]', f"models = {json.dumps(KINDS)}")
    made.commit("all kinds")
    fork = kept(made, _release).copy(folder / "fork")
    fork.ok("deploy", "local")
    yield fork
    fork.clean_up()


def _release(fork: Fork) -> None:
    in_process(_write_elsewhere, str(fork.root / "model/ported/saved"))
    fork.commit("trained elsewhere")
    (fork.root / "build").mkdir()
    (fork.root / "build/training.log").write_text(fork.ok("train").err)
    for verb in ("evaluate", "export"):
        fork.ok(verb)


def _write_elsewhere(folder: str) -> None:
    from tests.models.kinds import elsewhere

    elsewhere.write(folder)


def test_all_are_served_and_answer_their_examples(kinds: Fork) -> None:
    assert "8 examples by REST and gRPC on 1 server: all right" in kinds.ok("verify", "local").out
    models = {model["name"]: model for model in kinds.read("build/release/release.json")["models"]}
    assert list(models) == KINDS
    assert models["fares"]["metrics"]["error_at_airport"] <= 0.01  # by a slice of the inputs
    assert models["ported"]["signatures"]["regions"]["outputs"] == {"number": {"dtype": "int64", "shape": [None]}}
    assert models["codes"]["signature"]["outputs"]["half"]["dtype"] == "float16"


def test_all_are_checked_before_the_first_is_trained(kinds: Fork) -> None:
    trained = (kinds.root / "build/training.log").read_text()
    stages = [line.split()[:2] for line in trained.splitlines() if line.endswith(" s")]
    assert stages == [[stage, f"{kind}:"] for stage in ("check", "train") for kind in KINDS]
    assert "ported: trained elsewhere: it has no fit()" in trained


def test_an_export_of_each_in_another_folder_has_the_same_bytes_again(kinds: Fork) -> None:
    before = kinds.read("build/release/release.json")
    shutil.rmtree((kinds.root / "build/release").resolve())
    kinds.ok("export")
    assert kinds.read("build/release/release.json") == before


def test_each_refuses_what_its_signature_does_not_take(kinds: Fork) -> None:
    """Those that were trained elsewhere, too."""
    found = refused_by_name((kinds.root / "build/release").glob("models/*/*"))
    assert {Path(answer.model).parent.name for answer in found} == set(KINDS)


def test_judged_again_beside_itself_deployed_and_rolled_back(kinds: Fork) -> None:
    """Another gate makes another release of the same weights."""
    first = kinds.read("build/release/release.json")
    for kind in KINDS:
        path = kinds.root / f"model/{kind}.py"
        path.write_text(path.read_text() + "\nGATES = [*GATES]\n")
    kinds.commit("judged otherwise")
    kinds.ok("evaluate", "--against", "local")
    for kind in KINDS:
        (against,) = kinds.read(f"build/{kind}/evaluation.json")["against"]
        assert (against["rule"], against["changed_held_out"], against["changed_examples"]) == ("", 0, 0)
    kinds.ok("export")
    second = kinds.read("build/release/release.json")
    assert second["id"] != first["id"]
    assert [model["files"] for model in second["models"]] == [model["files"] for model in first["models"]]
    kinds.ok("deploy", "local")
    kinds.ok("rollback", "local", "--reason", "trying it out")
    kinds.ok("status", "local")
