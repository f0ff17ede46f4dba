"""The conformance suite's endpoint: the embedded server, an image of a server by --serving-image, or any by --endpoint and --grpc-endpoint.

The recordings are of TensorFlow's plain kernels: with oneDNN's, which TensorFlow has on by default, seven error texts differ. So whatever
is started here has TF_ENABLE_ONEDNN_OPTS=0, and an endpoint that is given must have it, too.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.release import images
from tests.container.conftest import engine as engine
from tests.container.conftest import wait_until_it_answers
from tests.serving.process import ModelServer
from tests.support.ports import free_ports

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "conformance"
_PLAIN = ["clf", "cnn", "dtypes", "errs", "examples", "mlp", "multi", "nan", "nosig", "reg", "shapes", "slow"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--endpoint", help="REST endpoint HOST:PORT that serves the models of tests/conformance/models.py")
    parser.addoption("--grpc-endpoint", help="its gRPC endpoint HOST:PORT")


@dataclass(frozen=True)
class Endpoint:
    """Where the server under test listens, as HOST:PORT; `embedded` if it is ours."""

    rest: str
    grpc: str | None
    embedded: bool


@pytest.fixture(scope="session")
def models() -> Path:
    """The models that the recordings were made with, written once per version of `models.py`."""
    source = HERE / "models.py"
    folder = BUILD / hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    if not (folder / "complete").exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        subprocess.run([sys.executable, source, partial], check=True, stderr=subprocess.DEVNULL)
        (partial / "complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def recorded_config(models: Path) -> str:
    """The configuration the recorded server had."""
    linear = models / "linear_regression_model"
    entry = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" {} }}\n'
    versions = "model_version_policy { all {} } " + " ".join(
        f'version_labels {{ key: "{label}" value: {number} }}' for label, number in (("stable", 1), ("canary", 2))
    )
    entries = entry.format("linear_regression_model", linear, versions)
    entries += "".join(entry.format(name, linear, "") for name in ("latest_only", "my model.v1-x"))
    entries += "".join(entry.format(name, models / name, "") for name in _PLAIN)
    return f"model_config_list {{\n{entries}}}\n"


MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0"}


@contextmanager
def in_container(client: Any, image: str, flags: list[str], folders: list[Path]) -> Generator[Endpoint]:
    """The server of `image` with these flags, which sees `folders` under their own names."""
    container = client.containers.run(
        image,
        ["--port=8500", "--rest_api_port=8501", *flags],
        entrypoint="/usr/bin/tensorflow_model_server",
        environment=PLAIN,
        user="0:0",  # who may read a temporary folder of whoever runs the tests
        volumes={str(folder): {"bind": str(folder), "mode": "ro"} for folder in folders},
        ports={"8500/tcp": ("127.0.0.1", None), "8501/tcp": ("127.0.0.1", None)},
        detach=True,
    )
    try:
        container.reload()
        grpc_port, rest_port = (container.ports[f"{port}/tcp"][0]["HostPort"] for port in (8500, 8501))
        wait_until_it_answers(container, f"http://127.0.0.1:{rest_port}/v1/models/linear_regression_model")
        embedded = images.STAND_IN in container.image.labels
        yield Endpoint(f"127.0.0.1:{rest_port}", f"127.0.0.1:{grpc_port}", embedded)
    finally:
        container.remove(force=True)


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory):
    given = request.config.getoption("endpoint", None)
    if given:
        yield Endpoint(given, request.config.getoption("grpc_endpoint", None), embedded=False)
        return
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "models.config").write_text(recorded_config(models))
    (folder / "monitoring.config").write_text(MONITORING)
    flags = [
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
    ]
    if image := request.config.getoption("serving_image"):
        with in_container(request.getfixturevalue("engine"), image, flags, [models, folder]) as given:
            yield given
        return
    grpc_port, rest_port = free_ports()
    with ModelServer(*flags, grpc_port=grpc_port, rest_port=rest_port, log=folder / "log", env=PLAIN):
        yield Endpoint(f"127.0.0.1:{rest_port}", f"127.0.0.1:{grpc_port}", embedded=True)
