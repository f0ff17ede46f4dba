"""The models in model/: trained, released together, served, asked by a client; and what they answer to bad input."""

import hashlib
import http.client
import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.release import releases
from tests.conftest import MODELS
from tests.support.fork import INSTANT, ROOT, Fork
from tests.support.inputs import BAD, FIVE, JPEG, SEVEN, TONE, encoded, wav
from tests.support.weights import weights

pytestmark = pytest.mark.timeout(
    900
)  # seconds: the first of a run to ask for the models trains them, however busy the machine


@pytest.fixture(scope="module")
def served(trained: Fork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork that serves all the models as one release."""
    fork = trained.copy(tmp_path_factory.mktemp("models") / "fork")
    fork.ok("deploy", "local")
    yield fork
    fork.clean_up()


def predict(fork: Fork, model: str, *inputs: bytes) -> tuple[int, dict]:
    body = json.dumps({"instances": encoded(*inputs)})
    connection = http.client.HTTPConnection("127.0.0.1", fork.rest_port, timeout=60)
    connection.request("POST", f"/v1/models/{model}:predict", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_one_release_holds_all_three_each_with_its_gates(served: Fork) -> None:
    release = served.read("build/release/release.json")
    models = {model["module"]: model for model in release["models"] if "variant_of" not in model}
    assert list(models) == MODELS
    assert models["digits"]["metrics"]["accuracy"] >= 0.97
    assert models["spoken_digits"]["metrics"]["accuracy"] >= 0.93
    assert "all right" in served.ok("verify", "local").out


def test_a_picture_is_recognised(served: Fork) -> None:
    status, answer = predict(served, "digits", SEVEN, JPEG)
    assert status == 200, answer
    assert [(row["class"], row["label"]) for row in answer["predictions"]] == [(7, "seven"), (4, "four")]
    assert sum(answer["predictions"][0]["scores"]) == pytest.approx(1, abs=1e-4)


def test_a_recording_is_recognised_at_any_sample_rate(served: Fork) -> None:
    stereo = (ROOT / "model/spoken_digits/two-stereo-16-khz.wav").read_bytes()
    status, answer = predict(served, "spoken_digits", FIVE, stereo)
    assert status == 200, answer
    assert [row["label"] for row in answer["predictions"]] == ["five", "two"]


def test_the_cards_show_what_is_taken_for_what(served: Fork) -> None:
    for module in ("digits", "spoken_digits"):
        card = (served.root / f"build/{module}/card.md").read_text()
        for plot in ("loss.png", "confusion.png", "errors.png"):
            assert f"({plot})" in card
            assert (served.root / "build" / module / plot).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["digits", "spoken_digits"])
def test_an_int8_variant_is_served_beside_its_original(served: Fork, name: str) -> None:
    model = next(m for m in served.read("build/release/release.json")["models"] if m["name"] == f"{name}_int8")
    assert model["variant_of"] == name
    size, loss = model["gates"]
    assert (size["metric"], size["value"] <= 0.35) == ("size ratio", True)
    assert (loss["metric"], loss["value"] <= 0.01) == ("loss of accuracy", True)
    whole, compressed = (
        sum(path.stat().st_size for path in (served.root / "build/release/models" / each).rglob("variables.data*"))
        for each in (name, f"{name}_int8")
    )
    assert compressed <= 0.35 * whole  # of the files, not only by the sum that the gate is on
    content, label = (SEVEN, "seven") if name == "digits" else (FIVE, "five")
    status, answer = predict(served, f"{name}_int8", content)
    assert (status, answer["predictions"][0]["label"]) == (200, label)


@pytest.mark.parametrize("name", ["digits", "spoken_digits"])
def test_a_litert_file_answers_what_the_server_answers(served: Fork, name: str) -> None:
    import tensorflow as tf

    from scripts.training import variants

    release = served.read("build/release/release.json")
    edge = next(file for file in release["edge"] if file["name"] == name)
    content = (served.root / "build/release" / edge["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == edge["sha256"]
    features = importlib.import_module(f"model.{name}").features
    content_of_example = SEVEN if name == "digits" else FIVE
    scores = variants.interpreter(content)(features(tf.constant([content_of_example])).numpy())
    _, answer = predict(served, name, content_of_example)
    np.testing.assert_allclose(scores, [answer["predictions"][0]["scores"]], atol=0.05)


def test_against_itself_nothing_changes(served: Fork) -> None:
    served.ok("evaluate", "--model", "digits", "--against", "local")
    (against,) = served.read("build/digits/evaluation.json")["against"]
    assert (against["changed_held_out"], against["changed_examples"], against["examples"]) == (0, 0, 2)
    assert [gate["value"] for gate in against["gates"]] == [0, 0]
    card = (served.root / "build/digits/card.md").read_text()
    assert "0.0% of the held-out answers change, and 0 of its 2 golden examples" in card


@pytest.mark.parametrize("defect", BAD)
def test_bad_input_is_answered_by_400_and_the_server_goes_on(served: Fork, defect: str) -> None:
    model, content, message = BAD[defect]
    status, answer = predict(served, model, content)
    assert status == 400, answer
    assert message in answer["error"]
    assert predict(served, model, SEVEN if model == "digits" else FIVE)[0] == 200


@pytest.mark.parametrize("model", ["digits", "spoken_digits"])
def test_an_empty_batch_is_answered_by_400(served: Fork, model: str) -> None:
    status, answer = predict(served, model)
    assert status == 400, answer


def test_one_sound_is_enough(served: Fork) -> None:
    """Shorter than the second that the network hears, and hardly louder than silence."""
    for samples in (TONE[:400], TONE * 0.01):
        assert predict(served, "spoken_digits", wav(samples))[0] == 200


def test_up_shows_each_on_a_laptop(served: Fork) -> None:
    """Without an engine; the lines that it prints are pasted, and answered."""
    up = served.warm().command("up", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert up.returncode == 0, up.stderr
    pasted = re.findall(r"^  (curl .*)$", up.stdout, re.MULTILINE)
    answers = [subprocess.run(["bash", "-c", line], cwd=served.root, capture_output=True, text=True) for line in pasted]
    assert len(answers) == len(served.read("build/release/release.json")["models"])
    assert all("predictions" in json.loads(answer.stdout) for answer in answers)


def test_a_failing_model_refuses_the_release(fork: Fork) -> None:
    """All are judged, so that one run shows all; nothing is exported, not even what passed."""
    fork.edit("pyproject.toml", 'models = ["instant"]', 'models = ["failing", "instant"]')
    failing = INSTANT.replace('NAME = "instant"', 'NAME = "failing"').replace("[[SLOPE]]", "[[SLOPE + 1]]")
    (fork.root / "model/failing.py").write_text(failing)
    fork.given("train")
    result = fork.run("evaluate")
    assert result.code == 1
    assert "error: failing is refused: max_absolute_error is 20, which must be <= 0.001" in result.err
    assert "instant: 1 of 1 gates passed" in result.err
    assert fork.run("export").err.startswith("error: failing did not pass its gates: it is not exported")
    assert not (fork.root / "build/release").exists()


def test_a_second_training_gives_the_same_weights(tmp_path: Path) -> None:
    """Alone, and after another in one process. Of few epochs, since the point is the bytes."""
    fork, modules = Fork(tmp_path / "fork"), ("digits", "spoken_digits")
    for module, epochs in (("digits", "EPOCHS, BATCH = 30"), ("spoken_digits", "EPOCHS, BATCH, COPIES = 20, 32, 6")):
        fork.edit(f"model/{module}.py", epochs, epochs.replace("30", "1").replace("20, 32, 6", "1, 32, 1"))
        fork.edit(
            f"model/{module}.py", "VARIANTS = [", "VARIANTS = [] and ["
        )  # which do not decide weights, and take as long
    fork.ok("train", "--model", "digits", "--model", "spoken_digits")
    first = {module: weights(fork, module) for module in modules}
    fork.ok("train", "--model", "spoken_digits", "--model", "digits")
    assert {module: weights(fork, module) for module in modules} == first


def test_a_second_export_gives_the_same_bytes(served: Fork) -> None:
    first = releases.read(served.root / "build/release")
    shutil.rmtree((served.root / "build/release").resolve())
    served.ok("export")
    assert releases.read(served.root / "build/release").made == first.made
