"""Releases for the tests, each an image in the registry: good ones, and some with one defect each."""

import io
import json
import re
import tarfile
from typing import Any

import docker

from tests.support.fork import INSTANT, Fork

ANSWER = '        return {"y": network(x)}\n'
# An answer to x takes x rounds of computing.
LONG = """\
        rounds = tf.while_loop(lambda n: n < tf.reduce_max(x), lambda n: [n + 1.0], [0.0])
        with tf.control_dependencies(rounds):
            x = tf.identity(x)
"""


def publish(registry: str, fork: Fork, text: str = INSTANT, **replaced: str) -> dict[str, Any]:
    """A release of the fork with `text` as its model, as an image in the registry. Returns its release.json.

    Testing the image is tests/container's business.
    """
    settings = fork.root / "pyproject.toml"
    settings.write_text(
        re.sub(r'^image = "[^"]*"', f'image = "{registry}/pipeline-test"', settings.read_text(), flags=re.M)
    )
    fork.release(text, **replaced)
    fork.ok("image")
    note = fork.root / "build/image.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"tested": True}))
    fork.ok("push")
    return fork.read("build/release/release.json")


def broken(engine: docker.DockerClient, registry: str, release: dict[str, Any], program: str) -> dict[str, Any]:
    """`release` by another name, in whose image a shell runs `program` in the server's place."""
    entry = json.dumps(["/bin/sh", "-c", program, "tensorflow_model_server"])
    identity = format(abs(hash(program)) % 16**12, "012x").ljust(64, "b")
    good = f"{release['image']['name']}@{release['image']['digest']}"
    image = _push(engine, registry, f"FROM {good}\nENTRYPOINT {entry}")
    return release | {"id": identity, "version": release["version"] + 100, "image": image}


def _push(engine: docker.DockerClient, registry: str, dockerfile: str) -> dict[str, str]:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile.encode()))
    context.seek(0)
    image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True, forcerm=True)
    name = f"{registry}/pipeline-test"
    image.tag(name, "1")
    for line in engine.images.push(name, "1", stream=True, decode=True):
        assert "error" not in line, line
    return {"name": name, "digest": engine.images.get_registry_data(f"{name}:1").id}
