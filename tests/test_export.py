"""export: a release is whole or absent, says where it comes from, and answers its own examples."""

import re

import pytest

from tests.support.fork import INSTANT, Fork


@pytest.fixture
def evaluated(fork: Fork) -> Fork:
    fork.given("train", "evaluate")
    return fork


def test_writes_a_base_path_for_tensorflow_serving(evaluated: Fork) -> None:
    evaluated.ok("export")
    document = evaluated.read("build/release/release.json")
    commit, seconds = evaluated.git("log", "-1", "--format=%H %ct").split()
    assert (document["commit"], document["version"], document["dirty"]) == (commit, int(seconds), False)
    folder = evaluated.root / "build/release/models/instant" / seconds
    assert {"saved_model.pb", "variables", "assets.extra"} <= {path.name for path in folder.iterdir()}
    assert document["models"][0]["examples"] == [
        {"inputs": {"x": [[10.0]]}, "outputs": {"y": [[20.0]]}, "tolerance": 0.001}
    ]


def test_marks_a_dirty_tree(evaluated: Fork) -> None:
    (evaluated.root / "notes.txt").write_text("not committed")
    evaluated.ok("export")
    assert evaluated.read("build/release/release.json")["dirty"] is True


def test_warm_up_records_are_requests_of_the_signature(evaluated: Fork) -> None:
    evaluated.ok("export")
    path = next((evaluated.root / "build/release/").glob("models/*/*/assets.extra/tf_serving_warmup_requests"))
    record = path.read_bytes()  # one TFRecord: 12 bytes of length and checksum, then the PredictionLog
    assert b"instant" in record
    assert b"serving_default" in record


def test_a_second_export_leaves_the_first_alone(evaluated: Fork) -> None:
    evaluated.ok("export")
    first = (evaluated.root / "build/release").resolve()
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    evaluated.release(SLOPE="3.0")
    assert (evaluated.root / "build/release").resolve() != first
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before


def test_needs_a_passed_evaluation_of_this_very_model(fork: Fork) -> None:
    fork.given("train")
    result = fork.run("export")
    assert result.code == 1
    assert result.err == "error: there is no usable build/instant/evaluation.json\n  next: ./pipeline evaluate\n"
    fork.ok("evaluate")
    fork.write_model(SLOPE="3.0")
    result = fork.run("export")
    assert result.code == 1
    assert (
        "build/instant/evaluation.json is not of model/ as it is now: model/instant.py (data, network, fit) changed since"
        in result.err
    )


BAD = {
    "example with another right answer": (
        "[[10 * SLOPE]]",
        "[[21.0]]",
        "model/instant.py: the exported model answers example 1 wrongly: y[0][0] is 20.0, not 21.0",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_refuses(fork: Fork, defect: str) -> None:
    old, new, message = BAD[defect]
    assert old in INSTANT
    fork.write_model(INSTANT.replace(old, new))
    fork.given("train", "evaluate")
    result = fork.run("export")
    assert result.code == 1, result.err
    assert re.search(f"^error: {re.escape(message)}", result.err)
    assert "\n  next: edit " in result.err
    assert not (fork.root / "build/release").exists()
    assert not list((fork.root / "build/releases").iterdir())


def test_a_full_disk_leaves_nothing_half_written(evaluated: Fork, small_disk) -> None:
    small_disk(evaluated.root / "build/releases", kib=16)
    result = evaluated.run("export")
    assert result.code == 1, result.err
    assert "error: the disk is full: nothing was exported, the releases before are untouched" in result.err
    assert not (evaluated.root / "build/release").exists()
    assert not list((evaluated.root / "build/releases").iterdir())


def test_a_large_model_comes_in_shards_of_which_a_change_touches_only_its_own(fork: Fork) -> None:
    """With shards of 4 KiB in the place of 256 MiB, and a second layer of 16 KiB whose weights do not change."""
    fork.edit("scripts/training/saved_model.py", "SHARD = 256 * 2**20", "SHARD = 4 * 2**10")
    wide = 'keras.layers.Dense(4096, kernel_initializer="ones"), keras.layers.Dense(1)'
    weights = "network.layers[1].set_weights([np.full([4096, 1], SLOPE / 4096), np.array([0.0])])"
    old = 'network.set_weights([np.array([[SLOPE]], "float32"), np.array([0.0], "float32")])'
    assert old in INSTANT
    files = []
    for slope in ("2.0", "3.0"):
        fork.write_model(INSTANT.replace("keras.layers.Dense(1)", wide).replace(old, weights), SLOPE=slope)
        for verb in ("train", "evaluate", "export"):
            fork.ok(verb)
        hashes = fork.read("build/release/release.json")["models"][0]["files"]
        files.append({name: value for name, value in hashes.items() if "variables.data" in name})
    assert len(files[0]) >= 8
    assert files[0].keys() == files[1].keys()
    same = [name for name in files[0] if files[0][name] == files[1][name]]
    assert 4 <= len(same) < len(files[0])  # the first layer's 16 KiB of ones, and not the second's
