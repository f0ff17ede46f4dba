"""Models for the life-cycle tests: small, and made without TensorFlow's Python side where possible."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .process import ROOT, ModelServer

_WRITE = """
import sys, tensorflow as tf
class Affine(tf.Module):
    def __init__(self, w, b):
        self.w, self.b = tf.Variable(w), tf.Variable(b)
    @tf.function(input_signature=[tf.TensorSpec([None, 1], name="x")])
    def __call__(self, x):
        return {"y": x * self.w + self.b}
class Slow(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], name="n")])
    def __call__(self, n):
        a = tf.ones([300, 300])
        step = lambda i, a: (i + 1, tf.math.tanh(tf.matmul(a, a)))
        _, a = tf.while_loop(lambda i, a: i < tf.cast(n[0] * 100.0, tf.int32), step, [tf.constant(0), a])
        return {"y": n + 0.0 * tf.reduce_mean(a)}
class Blur(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 2, 1], name="x")])
    def __call__(self, x):
        return {"y": tf.reduce_sum(tf.nn.conv2d(x, tf.ones([2, 2, 1, 1]), 1, "SAME"), [1, 2, 3])}
class Pool(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def __call__(self, x):
        return {"y": tf.nn.max_pool2d(tf.nn.conv2d(x, tf.ones([1, 1, 1, 1]), 1, "SAME"), 2, 1, "VALID")}
class Broken(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], name="x")])
    def __call__(self, x):
        return {"y": tf.strings.length(tf.io.decode_compressed(tf.strings.as_string(x), "GZIP"))}
for version in (1, 2, 3):
    model = Affine(float(version), 0.0)
    tf.saved_model.save(model, f"{sys.argv[1]}/affine/{version}", signatures=model.__call__)
for name, model in (("slow", Slow()), ("blur", Blur()), ("pool", Pool()), ("broken", Broken())):
    tf.saved_model.save(model, f"{sys.argv[1]}/{name}/1", signatures=model.__call__)
"""


@pytest.fixture(scope="session")
def library() -> Path:
    """`affine/N` answers N times x; `slow/1` takes time in proportion to its input; `blur/1` convolves;
    `pool/1` takes the largest of four neighbours, of any rank; `broken/1` answers nothing: DATA_LOSS, which is no fault of its clients.
    Written once per version of this."""
    folder = ROOT / "build" / "serving-tests" / hashlib.sha256(_WRITE.encode()).hexdigest()[:16]
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        partial.mkdir(parents=True)
        subprocess.run([sys.executable, "-c", _WRITE, partial], check=True, stderr=subprocess.DEVNULL)
        partial.rename(folder)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An empty base path."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def install(library: Path, base: Path):
    """`install(version)` puts that version of affine under `base` in one step, as a release does."""

    def put(version: int, as_version: int | None = None) -> None:
        partial = base / f".{version}.tmp"
        shutil.copytree(library / "affine" / str(version), partial)
        partial.rename(base / str(as_version or version))

    return put


@pytest.fixture
def serve(base: Path, tmp_path: Path):
    """`serve(*flags)` is a server of model `m` under `base`."""

    def start(*flags: str, wait: bool = True, **options) -> ModelServer:
        given = {"model_name": "m", "model_base_path": str(base), "file_system_poll_wait_seconds": "1"}
        own = {flag.split("=")[0].removeprefix("--") for flag in flags}
        defaults = [f"--{name}={value}" for name, value in given.items() if name not in own]
        return ModelServer(*defaults, *flags, log=tmp_path / "log", wait=wait, **options)

    return start
