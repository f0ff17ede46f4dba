"""The rules of a fork as Prometheus reads them, and Prometheus' own programs."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import requires
from tests.support.fork import Fork
from tests.test_promote import push, release

ALERTMANAGER = "prometheus-alertmanager"  # as Debian calls it


@pytest.fixture(scope="session")
def programs() -> None:
    for name in ("prometheus", "promtool", ALERTMANAGER):
        if not shutil.which(name):
            requires("tools", f"{name} is not installed: .ci/tools brings Debian's")


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """Release 1 in every environment's ledger."""
    fork = Fork(tmp_path_factory.mktemp("monitoring") / "fork")
    push(fork, release(1))
    for name in ("dev", "staging", "production"):
        verb(fork, "promote", name)
    return fork


@pytest.fixture(scope="session")
def rules(promoted: Fork) -> dict[str, Any]:
    """The plain file that docs/alerts.md has printed, parsed."""
    return YAML(typ="safe").load(verb(promoted, "rules"))


def verb(fork: Fork, *arguments: str) -> str:
    """Standard output of a verb that needs no TensorFlow."""
    command = [sys.executable, "-m", "scripts", *arguments]
    return subprocess.run(command, cwd=fork.root, capture_output=True, text=True, check=True).stdout


def write(path: Path, document: Any) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(document, file)
    return path
