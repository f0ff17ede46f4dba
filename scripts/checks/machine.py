"""What `up` needs of this machine, this folder and the settings."""

import ast
import functools
import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.checks.finding import Check, Finding
from scripts.environments import local
from scripts.release import engine, images
from scripts.training import models, stages
from scripts.workspace import checkout, requirements, settings
from scripts.workspace.errors import YourTurn

GPU = "components/gpu"
DISK_GIB = 4  # TensorFlow's environment takes 1.6, uv's cache as much


def _python() -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    levels = [level for level in requirements.LEVELS if requirements.is_synced(level)]
    yield Finding(
        "environment",
        "ok",
        f".venv holds requirements/{levels[-1]}.txt" if levels else ".venv is made by the next verb",
    )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    remedy = f"free {DISK_GIB - free:.1f} GiB on the disk of {Path.cwd()}"
    yield Finding(
        "disk",
        "ok" if free >= DISK_GIB else "missing",
        f"{free:.1f} GiB free; TensorFlow and its cache take {DISK_GIB}",
        remedy,
    )


def _git() -> Iterator[Finding]:
    head = checkout.read()
    if not head.commit:
        yield Finding(
            "git",
            "missing",
            "this folder has no commit: a release could not say where it comes from",
            "git init && git add -A && git commit",
        )
        return
    state = "with changes that it does not hold: a release would be marked dirty" if head.dirty else "clean"
    yield Finding("git", "ok", f"commit {head.commit[:12]}, {state}")


def _settings_file() -> Iterator[Finding]:
    yield Finding("settings", "ok", f"models: {', '.join(settings.read().models)}")


def _model_files(names: list[str] | None) -> Iterator[Finding]:
    modules = models.chosen(names)
    for module in modules:
        path = Path(f"model/{module}.py")
        try:
            ast.parse(path.read_text(), path)
        except SyntaxError as error:
            yield Finding("model", "missing", f"{path}, line {error.lineno}: {error.msg}", f"edit {path}")
            return
    yield from _rehearsed(modules)


def _rehearsed(modules: list[str]) -> Iterator[Finding]:
    """What `train` checks before it trains; only that the files parse where its packages are missing."""
    if not requirements.is_synced("train"):
        yield from (Finding("model", "ok", f"model/{module}.py can be parsed; train checks more") for module in modules)
        return
    stages.refuse_namesakes(modules)
    for module in modules:
        try:
            yield Finding("model", "ok", f"model/{module}.py: {stages.rehearse(module)}")
        except YourTurn as error:
            yield Finding("model", "missing", error.problem, error.remedy)


def _gpu() -> Iterator[Finding]:
    """If an overlay asks for a GPU, the server must be one that can use it."""
    asking = [path for path in sorted(Path("k8s/overlays").glob("*/kustomization.yaml")) if GPU in path.read_text()]
    if asking and not re.search(r":[^@]+-gpu\b", images.base()):
        text = f"{asking[0].parent} asks for a GPU, and serving/Dockerfile names a server that uses none"
        yield Finding("GPU", "missing", text, "see k8s/components/gpu/README.md")


def _ports() -> Iterator[Finding]:
    here = local.read()
    if process := here.server():
        yield Finding("ports", "ok", f"in use by this repository's own server (process {process.pid})")
        return
    for name in ("rest_port", "grpc_port"):
        port = getattr(here.settings, name)
        local.refuse_taken(name, port)
        yield Finding("ports", "ok", f"{port} is free")


def _engine_of_docker() -> Iterator[Finding]:
    """The Docker engine is never `missing`: the journey works without containers."""
    try:
        client = engine.client()
    except YourTurn as error:
        yield Finding("engine", "off", f"{error.problem}: no image is built here; {error.remedy}")
        return
    version, sdk = client.version(), importlib.metadata.version("docker")
    yield Finding(
        "engine",
        "ok",
        f"{version['Version']}, API {version['ApiVersion']}, {version['Arch']}; client: docker {sdk} for Python",
    )


def _base_image() -> Iterator[Finding]:
    """The base image of a release; checked only where an engine answers."""
    try:
        name, words = images.base(), images.stand_in(images.base())
        there = engine.find(name)
    except YourTurn:
        return
    if words:
        yield Finding("base image", "off", f"{name} is a stand-in on this machine: {words}")
    else:
        yield Finding("base image", "ok", name if there else f"{name}: pulled by the first image")


def checks(model: list[str] | None) -> dict[str, Check]:
    """What is looked at, in this order, by subject; `model` names the model files, in place of those of the settings."""
    return {
        "Python": _python,
        "disk": _disk,
        "git": _git,
        "settings": _settings_file,
        "model": functools.partial(_model_files, model),
        "GPU": _gpu,
        "ports": _ports,
        "engine": _engine_of_docker,
        "base image": _base_image,
    }
