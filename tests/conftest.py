"""Fixtures: forks to run the verbs in."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fork as _fork
from tests.support.kept import kept

MODELS = ["linear_regression", "digits", "spoken_digits"]

# Each test removes what it starts, so that the reaper is not needed: its image cannot be pulled everywhere. Published ports are asked
# on this host, also where this host is a container itself.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")


# What the tests run must not write on the page of the workflow that runs the tests, nor where the person stands who does.
for _name in [name for name in os.environ if name.startswith("GITHUB_") or name == "PIPELINE_FOLDER"]:
    del os.environ[_name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kubeconfig", help="an existing cluster for tests/cluster, in place of one started for them")
    parser.addoption(
        "--may-change", metavar="CONTEXT", help="the word that they may: that kubeconfig's current context"
    )
    parser.addoption("--node", metavar="CONTAINER", help="that cluster's only node, for tests that lay hands on it")
    parser.addoption("--registry", help="HOST[:PORT], to which this machine pushes and from which that cluster pulls")
    parser.addoption("--cycles", type=int, help="of deployments that tests/cluster makes in a row, or in its storm")
    parser.addoption("--seed", type=int, help="of its faults, so that it happens again")
    parser.addoption(
        "--serving-image", metavar="IMAGE", help="the server's image below every release that is built here"
    )
    parser.addoption("--image", help="the image that tests/container tests, in place of one built for them")
    parser.addoption("--models", help="the engine's volume to mount at /models, where they are not in that image")


# The longest parts of the suite, which begin first: the last to end would otherwise be one of them, alone.
LONGEST = [
    "rollouts",
    "cluster",
    "workflows",
    "container",
    "test_models.py",
    "test_readme.py",
    "test_up.py",
    "test_local.py",
]
# Half of tests/cluster, which waits more than it works: two processes wait at the same time.
ROLLOUTS = {f"cluster/test_{name}.py" for name in ("canary", "deploy", "disturbances", "nodes", "return")}


def _part(nodeid: str) -> str:
    """What shares expensive fixtures, and is run whole by one process: a folder here, or a file."""
    file = nodeid.removeprefix("tests/").partition("::")[0]
    if file in ROLLOUTS:
        return "rollouts"
    return (
        "cluster" if file == "test_overlays.py" else file.partition("/")[0]
    )  # both need every combination of the components


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {part: place for place, part in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(_part(item.nodeid), len(places)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByPart(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _part(nodeid)

    return ByPart(config, log)


def pytest_configure(config: pytest.Config) -> None:
    # Whatever starts the tests in the background may have them ignore Ctrl-C, which all their processes would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if image := config.getoption("--serving-image"):
        os.environ["SERVING_IMAGE"] = image
    _fork.start_forkserver()


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[_fork.Fork]:
    """A fork with the model `instant`; its server, if a test leaves one, is stopped."""
    fork = _fork.Fork(tmp_path / "fork")
    fork.write_model()
    fork.commit("instant")
    yield fork
    fork.clean_up()


@pytest.fixture
def served(fork: _fork.Fork) -> _fork.Fork:
    """2x and then 3x are deployed; `fork.first` and `fork.second` are their names."""
    fork.first = fork.release(SLOPE="2.0")
    fork.ok("deploy", "local")
    fork.second = fork.release(SLOPE="3.0")
    fork.ok("deploy", "local")
    return fork


@pytest.fixture(scope="module")
def locking(tmp_path_factory: pytest.TempPathFactory) -> _fork.Fork:
    """A fork whose settings and locks these tests change, each from what git has."""
    fork = _fork.Fork(tmp_path_factory.mktemp("locking") / "fork")
    (fork.root / ".venv").unlink()  # its own, since it follows its locks
    (fork.root / ".uv").symlink_to(_fork.ROOT / ".uv")  # what is there already; else this is where it goes
    return fork


@pytest.fixture(scope="module")
def shared_fork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_fork.Fork]:
    """One for a whole module: for tests that only read, or that restore what they change."""
    fork = _fork.Fork(tmp_path_factory.mktemp("shared") / "fork")
    fork.write_model()
    fork.commit("instant")
    yield fork
    fork.clean_up()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> _fork.Fork:
    """A fork with all the models trained, judged and exported as one release: in about 90 s, or kept from an earlier run. Copy it."""

    def make(fork: _fork.Fork) -> None:
        for verb in ("train", "evaluate", "export"):
            fork.ok(verb)

    fork = _fork.Fork(tmp_path_factory.mktemp("trained") / "fork")
    fork.edit("pyproject.toml", 'models = ["linear_regression"]', f"models = {json.dumps(MODELS)}")
    fork.commit("all models")
    return kept(fork, make)


def requires(what: str, reason: str) -> None:
    """Skips, or fails where the environment variable REQUIRE names `what`: then its absence is the defect."""
    if what in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"REQUIRE names {what}, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def combinations(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[str], list[dict]]]:
    """Every combination of components with what it renders to, without a warning."""
    from tests import test_overlays

    return test_overlays.combined(tmp_path_factory.mktemp("combinations"))


@pytest.fixture
def small_disk() -> Iterator:
    """Mounts a file system of so many KiB at a folder; a real full disk, which only root can make."""
    mounted: list[Path] = []

    def mount(folder: Path, kib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
