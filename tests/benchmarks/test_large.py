"""What a model of a gigabyte takes in memory: the peak of each verb, as a multiple of the model's size."""

from pathlib import Path

from tests.cluster import test_large as large
from tests.support.fork import Fork

ROWS = 16 * large.ROWS
MOST = {"export": 2, "image": 0.25, "push": 0.25}  # of the model's size; train and evaluate hold what Keras holds


def test_no_verb_holds_it_twice(registry, tmp_path: Path) -> None:
    fork = Fork(tmp_path / "fork")
    fork.edit("pyproject.toml", 'image = ""', f'image = "127.0.0.1:{registry()}/large"')
    fork.edit("pyproject.toml", "model_volume = false", "model_volume = true")
    fork.write_model(large.model(large.VALUES).replace(f"= {large.ROWS}, ", f"= {ROWS}, "))
    fork.commit("a gigabyte")
    peaks = {verb: large.peak(fork, verb) for verb in ("train", "evaluate", "export", "image")}
    fork.edit("build/image.json", '"tested": false', '"tested": true')
    peaks["push"] = large.peak(fork, "push")
    size = sum(path.stat().st_size for path in (fork.root / "build/release/models").rglob("variables.data*"))
    fork.clean_up()
    shares = {verb: peak / size for verb, peak in peaks.items()}
    print("\nof its size:", {verb: f"{share:.2f}" for verb, share in shares.items()})
    assert size >= 2**30
    assert {verb: share for verb, share in shares.items() if share > MOST.get(verb, share)} == {}
