"""Looks at this machine, the settings, the models and the fork, and says everything that is missing, each with its remedy

What concerns the fork is read by `gh`, where that is installed and logged in. A line with – is a choice not made, and no defect.
"""

import ast
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

from scripts import _checkout, _console, _engine, _fork_checks, _local, _models, _requirements, _settings
from scripts._errors import YourTurn
from scripts._finding import Finding

DISK_GIB = 4  # TensorFlow's environment takes 1.6, uv's cache as much


def run() -> int:
    findings = [finding for check in CHECKS for finding in _findings(check)]
    _console.table(
        ["", "what", "found"], [[{"ok": "✓", "missing": "✗", "off": "–"}[f.state], f.subject, f.text] for f in findings]
    )
    missing = [finding for finding in findings if finding.state == "missing"]
    if missing:
        raise YourTurn(
            f"missing: {', '.join(f.subject for f in missing)}", "\n        ".join(f.remedy for f in missing)
        )
    return 0


def _findings(check: FunctionType) -> Iterator[Finding]:
    """What a check finds; one that fails is a finding too, and does not keep the others from being made."""
    try:
        yield from check()
    except YourTurn as error:
        yield Finding(check.__name__.strip("_"), "missing", error.problem, error.remedy)


def _python() -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    levels = [level for level in _requirements.LEVELS if _requirements.is_synced(level)]
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
    checkout = _checkout.read()
    if not checkout.commit:
        yield Finding(
            "git",
            "missing",
            "this folder has no commit: a release could not say where it comes from",
            "git init && git add -A && git commit",
        )
        return
    state = "with changes that it does not hold: a release would be marked dirty" if checkout.dirty else "clean"
    yield Finding("git", "ok", f"commit {checkout.commit[:12]}, {state}")


def _settings_file() -> Iterator[Finding]:
    yield Finding("settings", "ok", f"models: {', '.join(_settings.read().models)}")


def _model_files() -> Iterator[Finding]:
    for module in _models.chosen(None):
        path = Path(f"model/{module}.py")
        try:
            ast.parse(path.read_text(), path)
            yield Finding("model", "ok", str(path))
        except SyntaxError as error:
            yield Finding("model", "missing", f"{path}, line {error.lineno}: {error.msg}", f"edit {path}")


def _ports() -> Iterator[Finding]:
    local = _local.read()
    if process := local.server():
        yield Finding("ports", "ok", f"in use by this repository's own server (process {process.pid})")
        return
    for name in ("rest_port", "grpc_port"):
        port = getattr(local.settings, name)
        _local.refuse_taken(name, port)
        yield Finding("ports", "ok", f"{port} is free")


def _engine_of_docker() -> Iterator[Finding]:
    """Not needed for the journey without containers, and so never missing."""
    try:
        engine = _engine.client()
    except YourTurn as error:
        yield Finding("engine", "off", f"{error.problem}: no image is built here; {error.remedy}")
        return
    version, sdk = engine.version(), importlib.metadata.version("docker")
    yield Finding(
        "engine",
        "ok",
        f"{version['Version']}, API {version['ApiVersion']}, {version['Arch']}; client: docker {sdk} for Python",
    )


CHECKS = [_python, _disk, _git, _settings_file, _model_files, _ports, _engine_of_docker, _fork_checks.github]
