"""The conformance suite's endpoint: the embedded server, or any other given by --endpoint and --grpc-endpoint."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory):
    given = request.config.getoption("endpoint", None)
    if given:
        yield Endpoint(given, request.config.getoption("grpc_endpoint", None), embedded=False)
        return
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "models.config").write_text(recorded_config(models))
    (folder / "monitoring.config").write_text(MONITORING)
    grpc_port, rest_port = free_ports()
    server = ModelServer(
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
        grpc_port=grpc_port,
        rest_port=rest_port,
        log=folder / "log",
        env={"TF_ENABLE_ONEDNN_OPTS": "0"},  # the recorded error texts are those of the plain kernels
    )
    with server:
        yield Endpoint(f"127.0.0.1:{rest_port}", f"127.0.0.1:{grpc_port}", embedded=True)
