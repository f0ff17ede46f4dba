"""Images that must be refused: each is the good one with one defect, given to `./pipeline test-image`."""

import io
import multiprocessing
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from scripts.release import engine as engines
from scripts.release import images
from tests.container.conftest import started
from tests.support.fork import CONTEXT, INSTANT, Fork

WITH_THREADS = Path(__file__).parent / "with_threads.py"
SECOND = INSTANT.replace('NAME = "instant"', 'NAME = "second"')
TWO_EXAMPLES = INSTANT.replace(
    "EXAMPLES = [",
    'EXAMPLES = [\n    Example(inputs={"x": [[-10.0]]}, outputs={"y": [[-10 * SLOPE]]}, tolerance=0.001),',
)


@pytest.fixture(scope="module")
def good(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork whose image of two models is built; a deployment may take 5 seconds here, since some of these never get ready."""
    fork = Fork(tmp_path_factory.mktemp("good") / "fork")
    fork.write_model(TWO_EXAMPLES)
    (fork.root / "model/second.py").write_text(SECOND)
    fork.edit("pyproject.toml", 'models = ["instant"]', 'models = ["instant", "second"]')
    fork.edit("pyproject.toml", "ready_timeout_seconds = 300", "ready_timeout_seconds = 5")
    fork.commit("two models")
    for verb in ("train", "evaluate", "export", "image"):
        fork.ok(verb)
    yield fork
    engine.images.remove(fork.read("build/image.json")["reference"], force=True)


def over(fork: Fork, engine: docker.DockerClient, fill: Callable[[tarfile.TarFile], None]) -> str:
    """The good image, with the files below rootfs/ that `fill` gives laid over it. Returns its id."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        dockerfile = f"FROM {fork.read('build/image.json')['id']}\nCOPY rootfs /\n"
        engines.add(tar, "Dockerfile", dockerfile.encode(), 0)
        fill(tar)
    context.seek(0)
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True)
    return image.id


def spoil(fork: Fork, engine: docker.DockerClient, config: str, folder: Path) -> str:
    """The good image, but with the models of `folder` under /bad and this models.config. Returns its id."""

    def fill(tar: tarfile.TarFile) -> None:
        engines.add(tar, "rootfs/models/models.config", config.encode(), 0)
        tar.add(folder, "rootfs/bad")

    return over(fork, engine, fill)


@pytest.fixture(scope="module")
def threaded(good: Fork, engine: docker.DockerClient) -> Iterator[str]:
    """The good image with as many threads at its start as TensorFlow Serving has; on TensorFlow Serving itself, just the good one."""
    image = good.read("build/image.json")["id"]
    if images.STAND_IN not in engine.images.get(image).labels:
        yield image
        return
    image = over(good, engine, lambda tar: tar.add(WITH_THREADS, "rootfs/usr/bin/tensorflow_model_server"))
    yield image
    engine.images.remove(image, force=True)


def save(folder: str, kind: str) -> None:
    """A SavedModel with a defect."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def predict(self, x):
            if kind == "some":
                with tf.control_dependencies([tf.debugging.assert_greater(x, 0.0)]):
                    return {"y": 2.0 * x}
            return {"y": x * {"nan": float("nan"), "wrong": 2.5, "unsigned": 2.0}[kind]}

    module = Module()
    name = "other" if kind == "unsigned" else "serving_default"
    tf.saved_model.save(module, folder, signatures={name: module.predict.get_concrete_function()})


CONFIG = """model_config_list {{
  config {{ name: "instant" base_path: "{}" model_platform: "tensorflow" }}
  config {{ name: "second" base_path: "/models/second" model_platform: "tensorflow" }}
}}
"""
BAD = {
    "wrong answers": ("wrong", None, "example 1 by REST: y[0][0] is -25.0, not -20.0"),
    "NaN": ("nan", None, "y[0][0] is nan, not -20.0"),
    "missing signature": ("unsigned", None, 'Serving signature name: "serving_default" not found in signature def'),
    "another version": ("wrong", 8, "version 8 is served, not "),
    "a server that never gets ready": (None, None, "never ready: "),
    "answers to only some requests": ("some", None, "example 1 by REST: HTTP 400: "),
}


@pytest.mark.parametrize("defect", BAD)
def test_is_refused(good: Fork, engine: docker.DockerClient, tmp_path: Path, defect: str) -> None:
    kind, version, message = BAD[defect]
    folder = tmp_path / "bad/instant"
    folder.mkdir(parents=True)
    if kind:
        target = folder / str(version or good.read("build/release/release.json")["version"])
        process: multiprocessing.Process = CONTEXT.Process(target=save, args=(str(target), kind))
        process.start()
        process.join()
        assert process.exitcode == 0
    image = spoil(good, engine, CONFIG.format("/bad/instant"), tmp_path / "bad")
    try:
        result = subprocess.run(
            ["./pipeline", "test-image", "--image", image], cwd=good.root, capture_output=True, text=True
        )
    finally:
        engine.images.remove(image, force=True)
    assert result.returncode == 1, result.stderr
    assert message in result.stderr
    assert f"error: the image {image} is refused: " in result.stderr


def test_the_good_one_is_not(good: Fork, threaded: str) -> None:
    """Of two models, with the threads that TensorFlow Serving starts for them."""
    good.edit("build/image.json", good.read("build/image.json")["id"], threaded)
    result = subprocess.run(["./pipeline", "test-image"], cwd=good.root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert good.read("build/image.json")["tested"] is True


def test_with_512_threads_two_models_end_as_they_do_on_tensorflow_serving(
    engine: docker.DockerClient, good: Fork, threaded: str
) -> None:
    """What `deploy` takes for a podPidsLimit that is too low, it takes from these words."""
    if images.STAND_IN not in engine.images.get(threaded).labels:
        pytest.skip("this is the stand-in's: TensorFlow Serving itself dies in some of its starts only")
    with started(threaded, pids_limit=512) as (container, _):
        assert container.wait()["StatusCode"] == 139
        words = container.logs(stdout=False).decode()
    assert "Thread tf_ModelDiskSizePool creation via pthread_create() failed" in words
