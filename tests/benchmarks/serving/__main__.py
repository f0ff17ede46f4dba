"""The embedded server beside its peers: python -m tests.benchmarks.serving [--servers embedded,fastapi] [--rounds 3]

Each peer gets an environment of its own under build/benchmarks (made by uv when missing), serves the same SavedModels
in its documented best form, and is asked by the same client for the same answers. All servers are up, and each cell of
the table is measured on one after the other, so that whatever else the machine does weighs on all of them alike; the
order changes from round to round. Every figure is the median over the rounds.
`--tensorflow-serving PATH` measures the real server's binary too. Prints Markdown; build/benchmarks/serving.json has
every single measurement.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scripts.workspace import requirements
from tests.support.ports import free_ports

from . import requests

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "benchmarks"
TENSORFLOW = "tensorflow-cpu==2.20.*"
CELLS = [(model, batch, clients) for model in ("linear", "cnn") for batch in (1, 32) for clients in (1, 16)]


@dataclass
class Peer:
    """A server: what it needs, how it is started, and what its requests look like."""

    name: str
    packages: list[str]
    command: list[str]
    rest_path: str
    rest_body: str = "v1"
    grpc_path: str = ""
    grpc_body: str = ""
    one_model: bool = False
    environment: dict[str, str] = field(default_factory=dict)


_PEERS = HERE / "peers"
_V2 = "/inference.GRPCInferenceService/ModelInfer"
_TFS = "/tensorflow.serving.PredictionService/Predict"
_TFS_FLAGS = ["--port={grpc}", "--rest_api_port={rest}", "--model_config_file={config}"]
PEERS = [
    Peer(
        "embedded",
        [],
        ["{python}", "-m", "serving.embedded", "--bind_address=127.0.0.1", *_TFS_FLAGS],
        "/v1/models/{model}:predict",
        grpc_path=_TFS,
        grpc_body="predict",
    ),
    Peer(
        "fastapi",
        ["fastapi", "uvicorn[standard]", "orjson"],
        [
            *("{python}", "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(_PEERS), "--host", "127.0.0.1"),
            *(
                "--port",
                "{rest}",
                "--loop",
                "uvloop",
                "--http",
                "httptools",
                "--no-access-log",
                "--log-level",
                "warning",
            ),
        ],
        "/v1/models/{model}:predict",
    ),
    Peer(
        "litserve", ["litserve"], ["{python}", str(_PEERS / "litserve_app.py"), "{rest}"], "/v1/models/{model}:predict"
    ),
    Peer(
        "bentoml",
        ["bentoml"],
        [
            *("{python}", "-m", "bentoml", "serve", "bentoml_app:Models", "--working-dir", str(_PEERS)),
            *("--host", "127.0.0.1", "--port", "{rest}"),
        ],
        "/{model}",
        environment={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer(
        "ray",
        ["ray[serve]"],
        ["{python}", str(_PEERS / "ray_app.py"), "{rest}"],
        "/v1/models/{model}:predict",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Peer(
        "mlserver",
        ["mlserver"],
        ["{python}", str(_PEERS / "mlserver_app.py"), "{rest}", "{grpc}"],
        "/v2/models/{model}/infer",
        "v2",
        _V2,
        "v2",
    ),
    Peer(
        "kserve",
        ["kserve"],
        ["{python}", str(_PEERS / "kserve_app.py"), "{rest}", "{grpc}"],
        "/v1/models/{model}:predict",
        grpc_path=_V2,
        grpc_body="v2",
    ),
    Peer(
        "mlflow",
        ["mlflow"],
        [
            *("{python}", "-m", "mlflow", "models", "serve", "-m", "{mlflow}", "--env-manager", "local"),
            *("-h", "127.0.0.1", "-p", "{rest}", "-w", "1"),
        ],
        "/invocations",
        "mlflow",
        one_model=True,
    ),
]


def models() -> dict[str, Path]:
    """The SavedModels of the conformance suite: a dense layer, and a CNN on 28 × 28 pixels."""
    folders = sorted((ROOT / "build" / "conformance").glob("*/complete"))
    if not folders:
        folder = ROOT / "build" / "conformance" / "benchmark"
        subprocess.run([sys.executable, ROOT / "tests" / "conformance" / "models.py", folder], check=True)
        (folder / "complete").touch()
        folders = [folder / "complete"]
    folder = folders[-1].parent
    return {"linear": folder / "linear_regression_model", "cnn": folder / "cnn"}


def environment_of(peer: Peer) -> str:
    """The Python that runs the peer."""
    if not peer.packages:
        return sys.executable
    folder = BUILD / "envs" / peer.name
    if not (folder / "bin" / "python").exists():
        print(f"installing {peer.name}", file=sys.stderr)
        uv = requirements.find_uv()
        subprocess.run([uv, "venv", "-q", "--python", "3.11", folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([uv, "pip", "install", "-q", "--python", python, TENSORFLOW, *peer.packages], check=True)
    return str(folder / "bin" / "python")


class Running:
    """A started peer."""

    def __init__(self, peer: Peer, paths: dict[str, Path], model: str = "") -> None:
        self.peer, self._model = peer, model
        self.grpc_port, self.rest_port = free_ports()
        python = environment_of(peer)
        versions = {name: max(path.iterdir(), key=lambda entry: int(entry.name)) for name, path in paths.items()}
        env = (
            os.environ
            | peer.environment
            | {
                "MODELS": ",".join(f"{name}={path}" for name, path in versions.items()),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            }
        )
        env["PATH"] = f"{Path(python).parent}:{env['PATH']}"
        values = {"python": python, "rest": self.rest_port, "grpc": self.grpc_port, "config": _config(paths)}
        if peer.one_model:
            values["mlflow"] = BUILD / f"mlflow-{model}"
            if not values["mlflow"].exists():
                save = [python, _PEERS / "mlflow_app.py", values["mlflow"], model]
                subprocess.run(save, check=True, env=env, stdout=sys.stderr)
        command = [part.format(**values) for part in peer.command]
        self._log = (BUILD / f"{peer.name}.log").open("wb")
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=self._log, stderr=self._log, start_new_session=True
        )
        started = time.monotonic()
        self._wait(model or "linear")
        self.ready_seconds = round(time.monotonic() - started, 1)

    def _wait(self, model: str) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                self.check(model)
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    log = (BUILD / f"{self.peer.name}.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.peer.name} does not answer: {error}\n{log}") from None
                time.sleep(0.2)

    def check(self, model: str) -> None:
        """Asks once and fails if there is no number in the answer."""
        url = f"http://127.0.0.1:{self.rest_port}{self.peer.rest_path.format(model=model)}"
        body = getattr(requests, self.peer.rest_body)(model, 1)
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert any(character.isdigit() for character in response.read().decode())

    def serves(self, protocol: str, model: str) -> bool:
        return (protocol == "REST" or bool(self.peer.grpc_path)) and self._model in ("", model)

    def memory(self) -> int:
        """Resident megabytes of the whole tree of processes."""
        process = psutil.Process(self._process.pid)
        total = 0
        for each in [process, *process.children(recursive=True)]:
            try:
                total += each.memory_info().rss
            except psutil.Error:
                continue
        return total >> 20

    def stop(self) -> None:
        tree = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in tree:
            try:
                child.kill()
            except psutil.Error:
                continue
        self._log.close()


def _config(paths: dict[str, Path]) -> Path:
    config = BUILD / "models.config"
    config.parent.mkdir(parents=True, exist_ok=True)
    entries = (f'config {{ name: "{n}" base_path: "{p}" model_platform: "tensorflow" }}' for n, p in paths.items())
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return config


def measure(running: Running, protocol: str, model: str, batch: int, clients: int, seconds: float) -> dict:
    """One cell of the table."""
    peer = running.peer
    if protocol == "REST":
        path, port = peer.rest_path.format(model=model), running.rest_port
        body = getattr(requests, peer.rest_body)(model, batch)
    else:
        path, port = peer.grpc_path, running.grpc_port
        alias = {"linear": "keras_tensor", "cnn": _cnn_input()}[model]
        body = (
            requests.predict_grpc(model, batch, alias)
            if peer.grpc_body == "predict"
            else requests.v2_grpc(model, batch)
        )
    file = BUILD / "body"
    file.write_bytes(body)
    command = [sys.executable, "-m", "tests.benchmarks.serving.load", protocol.lower(), f"127.0.0.1:{port}"]
    command += [path, str(file), str(clients), str(seconds)]
    result = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return result | {"memory": running.memory(), "load": os.getloadavg()[0]}


def _cnn_input() -> str:
    from serving.embedded.protos import saved_model_pb2

    path = models()["cnn"] / "1" / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0]
    return next(iter(graph.signature_def["serving_default"].inputs))


def start(peers: list[Peer]) -> list[Running]:
    """Every server, up and answering; one that does not come up is named and left out."""
    paths, started = models(), []
    for peer in peers:
        for model in paths if peer.one_model else [""]:
            try:
                started.append(Running(peer, paths, model))
                print(f"{peer.name} {model} ready after {started[-1].ready_seconds} s", file=sys.stderr)
            except (RuntimeError, subprocess.CalledProcessError) as error:
                print(f"{peer.name}: {error}", file=sys.stderr)
    return started


def table(results: list[dict]) -> str:
    """Markdown: a row for each cell and server, with medians."""
    lines = [
        "| API | model | batch | clients | server | req/s | p50 ms | p99 ms | errors | memory MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for protocol in ("REST", "gRPC"):
        for model, batch, clients in CELLS:
            cell = [
                r
                for r in results
                if (r["protocol"], r["model"], r["batch"], r["clients"]) == (protocol, model, batch, clients)
            ]
            rows = []
            for name in dict.fromkeys(r["server"] for r in cell):
                runs = [r for r in cell if r["server"] == name]
                middle = {
                    key: statistics.median(r[key] for r in runs) for key in ("per_second", "p50_ms", "p99_ms", "memory")
                }
                rows.append((middle["per_second"], name, middle, sum(r["errors"] for r in runs)))
            for _, name, middle, errors in sorted(rows, reverse=True):
                lines.append(
                    f"| {protocol} | {model} | {batch} | {clients} | {name} | {middle['per_second']:.0f} | "
                    f"{middle['p50_ms']:.2f} | {middle['p99_ms']:.2f} | {errors} | {middle['memory']:.0f} |"
                )
    return "\n".join(lines)


def summary(results: list[dict]) -> str:
    """Markdown: for each cell the embedded server beside the best of the others by requests a second."""
    lines = [
        "| API | model | batch | clients | embedded: req/s | p50 ms | p99 ms | best other | req/s | p50 ms | p99 ms | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for protocol in ("REST", "gRPC"):
        for cell in CELLS:
            figures = {}
            for result in results:
                if (result["protocol"], result["model"], result["batch"], result["clients"]) == (protocol, *cell):
                    figures.setdefault(result["server"], []).append(result)
            middles = {
                name: [statistics.median(run[key] for run in runs) for key in ("per_second", "p50_ms", "p99_ms")]
                for name, runs in figures.items()
            }
            ours = middles.pop("embedded", None)
            if ours and middles:
                name, best = max(middles.items(), key=lambda item: item[1][0])
                lines.append(
                    f"| {protocol} | {cell[0]} | {cell[1]} | {cell[2]} | {ours[0]:.0f} | {ours[1]:.2f} | {ours[2]:.1f} | "
                    f"{name} | {best[0]:.0f} | {best[1]:.2f} | {best[2]:.1f} | {ours[0] / max(best[0], 1):.1f} |"
                )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", help="names, separated by commas; all of them otherwise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring per cell")
    parser.add_argument("--tensorflow-serving", help="the path of the real server's binary, to be measured too")
    arguments = parser.parse_args()
    peers = list(PEERS)
    if arguments.tensorflow_serving:
        binary = [arguments.tensorflow_serving, *_TFS_FLAGS, "--grpc_max_threads=64"]
        peers.append(Peer("TensorFlow Serving", [], binary, "/v1/models/{model}:predict", "v1", _TFS, "predict"))
    if arguments.servers:
        wanted = arguments.servers.split(",")
        peers = [peer for peer in peers if peer.name in wanted]
    results: list[dict] = []

    def note(server: str, protocol: str, model: str, batch: int, clients: int, result: dict) -> None:
        print(f"{server} {protocol} {model} batch {batch} clients {clients}: {result}", file=sys.stderr)
        keys = {"server": server, "protocol": protocol, "model": model, "batch": batch, "clients": clients}
        results.append(keys | result)
        (BUILD / "serving.json").write_text(json.dumps(results, indent=1))

    BUILD.mkdir(parents=True, exist_ok=True)
    running = start(peers)
    try:
        for number in range(arguments.rounds):
            shift = number * len(running) // arguments.rounds
            for protocol in ("REST", "gRPC"):
                for cell in CELLS:
                    for server in running[shift:] + running[:shift]:
                        if server.serves(protocol, cell[0]):
                            note(server.peer.name, protocol, *cell, measure(server, protocol, *cell, arguments.seconds))
    finally:
        for server in running:
            server.stop()
    print(f"{summary(results)}\n\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
