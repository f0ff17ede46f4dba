"""What the recordings say about starting, raw HTTP, batching, metrics and reloading, on servers of their own."""

import base64
import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import text_format

from serving.embedded.protos import predict_pb2
from tests.serving.process import ROOT, ModelServer, wait_until
from tests.support.ports import free_ports

from .comparison import document, text
from .test_grpc import FOLDER, MESSAGES, canonical
from .test_rest import ask

RECORDED = json.loads((FOLDER / "behaviours.json").read_text())


@pytest.fixture(autouse=True)
def only_the_embedded_server(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("endpoint", None) or request.config.getoption("serving_image"):
        pytest.skip("these tests start the server themselves")


def serve(folder: Path, *flags: str, **options) -> ModelServer:
    return ModelServer(*flags, log=folder / "log", **options)


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    """The server as a command that is expected to end by itself."""
    port, rest_port = free_ports()
    ports = [f"--port={port}", f"--rest_api_port={rest_port}"]
    command = [sys.executable, "-m", "serving.embedded", "--bind_address=127.0.0.1", *ports, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def single(models: Path, name: str = "linear_regression_model", as_name: str = "m") -> list[str]:
    return [f"--model_name={as_name}", f"--model_base_path={models / name}"]


# --- the command line ---


def _last_line(recorded: str) -> str:
    """What the recorded server said last, without paths that were its own."""
    return recorded.strip().rsplit("\n", 1)[-1]


@pytest.mark.parametrize(
    ("name", "flags", "files"),
    [
        ("bad_no_base_path", [], {}),
        ("bad_relative_base_path", ["--model_name=m", "--model_base_path=models/linear_regression_model"], {}),
        ("bad_config_missing", ["--model_config_file=/nonexistent.config"], {}),
        ("bad_config_bad", ["--model_config_file=/data/bad.config"], {"bad.config": "this is not"}),
        ("bad_config_empty", ["--model_config_file=/data/empty.config"], {"empty.config": ""}),
        ("bad_port_zero", ["--port=0", "--model_name=m", "--model_base_path=/models"], {}),
        (
            "bad_config_noplatform",
            ["--model_config_file=/data/c"],
            {"c": 'model_config_list { config { name: "m" base_path: "/models" } }'},
        ),
        (
            "bad_config_dup",
            ["--model_config_file=/data/c"],
            {
                "c": 'model_config_list { config { name: "m" base_path: "/models" model_platform: "tensorflow" } '
                'config { name: "m" base_path: "/models" model_platform: "tensorflow" } }'
            },
        ),
        (
            "bad_config_label_at_start",
            ["--model_config_file=/data/c"],
            {
                "c": 'model_config_list { config { name: "m" base_path: "/models" model_platform: "tensorflow" '
                'version_labels { key: "stable" value: 2 } } }'
            },
        ),
        (
            "bad_batching_params_without_enable",
            ["--model_base_path=/models", "--batching_parameters_file=/nonexist"],
            {},
        ),
        (
            "bad_batching_missing_file",
            ["--model_base_path=/models", "--enable_batching", "--batching_parameters_file=/nonexist"],
            {},
        ),
    ],
)
def test_refused_start(name: str, flags: list[str], files: dict[str, str], tmp_path: Path) -> None:
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    ended = run(*(flag.replace("/data", str(tmp_path)) for flag in flags))
    exit_code, _, both = RECORDED[name]  # recorded in one; the real server says why on standard output
    assert ended.returncode == exit_code
    said = re.sub(r" \(\d+:\d+.*\)$", "", _last_line(ended.stdout).replace(str(tmp_path), "/data"))
    assert said == _last_line(both)


def test_corrupt_model_at_start(models: Path, tmp_path: Path) -> None:
    (tmp_path / "corrupt" / "1").mkdir(parents=True)
    (tmp_path / "corrupt" / "1" / "saved_model.pb").write_bytes(b"\xff" * 4096)
    flags = ["--model_name=m", f"--model_base_path={tmp_path}/corrupt", "--load_retry_interval_micros=100000"]
    ended = run(*flags, "--max_num_load_retries=2")
    assert ended.returncode == 255
    assert _last_line(ended.stdout).replace(str(tmp_path), "/data") == _last_line(
        RECORDED["bad_corrupt_2retries_fast"][2]
    )
    assert ended.stderr.count("failed: DATA_LOSS") == 2


def test_latest_version_corrupt_at_start(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "linear_regression_model", tmp_path / "mixed")
    (tmp_path / "mixed" / "2" / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    ended = run("--model_name=m", f"--model_base_path={tmp_path}/mixed", "--max_num_load_retries=0")
    assert ended.returncode == 255
    assert "1 servable(s) did not become available: {{{name: m version: 2} due to error: " in ended.stdout


def test_help_and_version() -> None:
    shown = run("--help")
    assert shown.returncode == 255
    recorded = (FOLDER / "help.txt").read_text()
    names = re.compile(r"--(\w+)=\S*\s+\t(\w+)\t")
    ours = dict(names.findall(shown.stdout))
    assert dict(names.findall(recorded)).items() <= ours.items()
    version = run("--version")
    assert version.returncode == 0
    assert re.fullmatch(r"TensorFlow ModelServer: 2\.\S+\nTensorFlow Library: 2\.\S+\n", version.stdout)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--port=abc", "Couldn't interpret value abc for flag port."),
        ("--enable_batching=maybe", "Couldn't interpret value maybe for flag enable_batching."),
    ],
)
def test_bad_value(argument: str, said: str) -> None:
    ended = run(argument)
    assert ended.returncode == 255
    assert said in ended.stderr and ended.stdout.startswith("usage: tensorflow_model_server\nFlags:\n")


def test_unknown_flag_is_named_and_the_server_starts(models: Path, tmp_path: Path) -> None:
    with serve(tmp_path, *single(models), "--nope=1") as server:
        assert server.predict("m", [[1.0]]) == [[2.5]]
        assert "unknown argument: --nope=1\nusage: tensorflow_model_server\n" in server.log.read_text()


def test_ignored_flag_warns_once(models: Path, tmp_path: Path) -> None:
    with serve(tmp_path, *single(models), "--num_tflite_pools=3", "--enable_profiler=false") as server:
        log = server.log.read_text()
    assert log.count("--num_tflite_pools has no effect") == 1
    assert log.count("--enable_profiler has no effect") == 1


# --- raw HTTP ---


@pytest.fixture(scope="module")
def linear(models: Path, tmp_path_factory: pytest.TempPathFactory):
    with serve(tmp_path_factory.mktemp("linear"), *single(models)) as server:
        yield server


_RAW = {
    "raw_head": b"HEAD /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw_pipelined": b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models/nope HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw_http09": b"GET /v1/models/m\r\n\r\n",
    "raw_garbage": b"\x01\x02garbage\r\n\r\n",
    "raw_lf_only": b"GET /v1/models/nope HTTP/1.1\nHost: x\n\n",
    "raw_get": b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", _RAW)
def test_raw_http(name: str, linear: ModelServer) -> None:
    expected = re.sub(r"Date: [^\r]*", "Date: X", RECORDED[name])
    with socket.create_connection(("127.0.0.1", linear.rest_port), timeout=5) as client:
        client.sendall(_RAW[name])
        received = b""
        while len(re.sub(rb"Date: [^\r]*", b"Date: X", received)) < len(expected):
            data = client.recv(1 << 16)
            if not data:
                break
            received += data
    assert re.sub(r"Date: [^\r]*", "Date: X", received.decode()) == expected


@pytest.mark.parametrize("digits", ["9" * 20, "9" * 5000, "0" * 5000 + "2"])
def test_versions_of_many_digits(linear: ModelServer, digits: str) -> None:
    status, answer = linear.rest("GET", f"/v1/models/m/versions/{digits}")
    if digits[0] == "9":
        assert (status, answer) == (400, b"")
    else:
        assert (status, answer) == linear.rest("GET", "/v1/models/m")


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_request_that_arrives_in_pieces(linear: ModelServer, pieces: int) -> None:
    request = b'POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\n\r\n{"instances":[[1.0]]}'
    with socket.create_connection(("127.0.0.1", linear.rest_port), timeout=5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), pieces):
            client.sendall(request[at : at + pieces])
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")


def test_half_closed_client_gets_its_answer(linear: ModelServer) -> None:
    with socket.create_connection(("127.0.0.1", linear.rest_port), timeout=5) as client:
        client.sendall(b'POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\n\r\n{"instances":[[1.0]]}')
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(1 << 16):
            received += data
    assert received.startswith(b"HTTP/1.1 200 OK") and b"2.5" in received


# --- limits: ours alone ---


def test_limits_answer_in_the_error_format(models: Path, tmp_path: Path) -> None:
    limits = ("--rest_api_max_body_bytes=1000", "--rest_api_max_inflated_bytes=2000", "--rest_api_max_json_depth=10")
    with serve(tmp_path, *single(models), *limits) as server:
        status, answer = server.rest("POST", "/v1/models/m:predict", b" " * 1001)
        assert (status, answer) == (413, {"error": "Request body is larger than the limit of 1000 bytes"})
        bomb = gzip.compress(b" " * 2001)
        recording = {
            "method": "POST",
            "path": "/v1/models/m:predict",
            "request_headers": {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))},
            "request_body": {"b64": base64.b64encode(bomb).decode()},
            "status_line": "HTTP/1.1",
            "connection_closed_by_server": False,
        }
        answer = ask(f"127.0.0.1:{server.rest_port}", recording)
        assert answer.status_line.startswith("HTTP/1.1 413")
        assert document(answer.body) == {"error": "Request body is larger than the limit of 2000 bytes"}
        status, answer = server.rest("POST", "/v1/models/m:predict", b'{"instances":' + b"[" * 11 + b"]" * 11 + b"}")
        assert (status, answer["error"]) == (
            400,
            "JSON Parse error: Nesting deeper than 10 levels. at offset: 22",
        )
        chunks = b"POST /v1/models/m:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=5) as client:
            client.sendall(chunks)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 413")


# --- time ---


def test_rest_timeout(models: Path, tmp_path: Path) -> None:
    with serve(tmp_path, *single(models, "slow", "slow"), "--rest_api_timeout_in_ms=200") as server:
        status, answer = server.rest("POST", "/v1/models/slow:predict", {"instances": [60.0]})
    recorded = RECORDED["rest_timeout_200ms"]
    assert (f"HTTP/1.1 {status} Gateway Time-out", answer) == (
        recorded["status_line"],
        json.loads(recorded["response_body"]),
    )


def test_grpc_deadline_stops_the_work(models: Path, tmp_path: Path) -> None:
    with serve(tmp_path, *single(models, "slow", "slow")) as server:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "slow"
        tensor = request.inputs["n"]
        tensor.dtype = 1
        tensor.tensor_shape.dim.add(size=1)
        tensor.float_val.append(1000.0)
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            with pytest.raises(grpc.RpcError) as failure:
                call(request.SerializeToString(), timeout=0.3)
        error: Any = failure.value  # a grpc.Call too
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        process = psutil.Process(server.process.pid)

        def is_idle() -> bool:
            before = sum(process.cpu_times()[:2])
            process.cpu_percent()
            threading.Event().wait(0.3)
            return sum(process.cpu_times()[:2]) - before < 0.15

        wait_until(is_idle, 10, "the work to stop")


# --- batching ---


@pytest.fixture(scope="module")
def batching(models: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("batching")
    (folder / "batching.config").write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 2 } "
        "num_batch_threads { value: 1 }"
    )
    (folder / "models.config").write_text(
        "model_config_list {"
        + "".join(
            f'config {{ name: "{name}" base_path: "{models / name}" model_platform: "tensorflow" }}'
            for name in ("linear_regression_model", "shapes", "multi", "slow", "errs")
        )
        + "}"
    )
    flags = [f"--model_config_file={folder}/models.config", "--enable_batching=true"]
    with serve(folder, *flags, f"--batching_parameters_file={folder}/batching.config") as server:
        yield server


@pytest.mark.parametrize(
    "name", ["ok", "batch5_over_max4", "scalar_in", "scalar_out", "mismatch", "col_mismatch_inputs", "bad_width"]
)
def test_batching_as_recorded(name: str, batching: ModelServer) -> None:
    recording = RECORDED["batching"][name]
    answer = ask(f"127.0.0.1:{batching.rest_port}", recording)
    assert answer.status_line == recording["status_line"]
    assert document(answer.body) == document(recording["response_body"].encode())


def _together(server: ModelServer, requests: list[tuple[str, dict]]) -> list[tuple[int, dict]]:
    """The answers to requests sent at the same time, each on its own connection."""
    answers: list = [None] * len(requests)
    start = threading.Barrier(len(requests))

    def one(index: int) -> None:
        start.wait()
        name, body = requests[index]
        answers[index] = server.rest("POST", f"/v1/models/{name}:predict", body)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_full_queue_answers_unavailable(batching: ModelServer) -> None:
    answers = _together(batching, [("slow", {"instances": [1.0] * 4})] * 12)
    recorded = RECORDED["batching"]["queue_full_12x4"]
    refused = [answer for status, answer in answers if status == 503]
    assert refused and all(answer == json.loads(recorded[0][1]) for answer in refused)
    served = [answer for status, answer in answers if status == 200]
    assert len(served) >= 3 and all(answer == {"predictions": [1.0] * 4} for answer in served)


def test_batched_answers_are_those_of_each_request(batching: ModelServer) -> None:
    requests = [("linear_regression_model", {"instances": [[float(number)]]}) for number in range(8)]
    answers = [answer for status, answer in _together(batching, requests) if status == 200]
    assert len(answers) >= 4
    for answer in answers:
        ((value,),) = answer["predictions"]
        assert value in {3.0 * number - 0.5 for number in range(8)}


def test_a_bad_request_takes_no_other_down_with_it(batching: ModelServer) -> None:
    requests = [("errs", {"instances": [1]}), ("errs", {"instances": [9]}), ("errs", {"instances": [2]})]
    for _ in range(5):
        good, bad, other = _together(batching, requests)
        assert good == (200, {"predictions": [2.0]}) and other == (200, {"predictions": [3.0]})
        assert bad[0] == 400 and "indices[0] = 9 is not in [0, 3)" in bad[1]["error"]


# --- metrics, CORS, TLS ---


def test_metrics(models: Path, tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/metrics" }')
    with serve(tmp_path, *single(models), f"--monitoring_config_file={tmp_path}/monitoring") as server:
        server.rest("GET", "/v1/models/m")
        for body in ([[1.0]], [[2.0]], [[3.0]], [[1.0, 2.0]]):
            server.rest("POST", "/v1/models/m:predict", {"instances": body})
        server.rest("POST", "/v1/models/nope:predict", {"instances": [1]})
        _, page = server.rest("GET", "/metrics")
        status, _ = server.rest("GET", "/metrics/")
    assert status == 404
    page = page.decode()
    for line in (FOLDER / "metrics.txt").read_text().splitlines():
        if line.startswith("# TYPE") or "request_count{" in line or "_latency_count" in line:
            assert line in page.splitlines()
    recorded = re.findall(r'^(\S+_bucket\{.*le="[^"]+"\})', (FOLDER / "metrics.txt").read_text(), re.MULTILINE)
    assert {name for name in recorded if "request_latency" in name} <= set(
        re.findall(r'^(\S+_bucket\{.*le="[^"]+"\})', page, re.MULTILINE)
    )


def test_examples_and_batches_are_counted(models: Path, tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = [f"--model_base_path={models / 'clf'}", "--model_name=m", "--enable_batching"]
    with serve(tmp_path, *flags, f"--monitoring_config_file={tmp_path}/monitoring") as server:
        status, _ = server.rest("POST", "/v1/models/m:classify", {"examples": [{"x": 1.0}, {"x": 2.0}]})
        _, page = server.rest("GET", "/metrics")
    assert status == 200
    counted = dict(line.rsplit(" ", 1) for line in page.decode().splitlines() if not line.startswith("#"))
    assert counted[':tensorflow:serving:request_example_count_total{model="m"}'] == "2"
    assert counted[':tensorflow:serving:request_example_counts_count{model="m"}'] == "1"
    assert counted[":tensorflow:serving:batching_session:wrapped_run_count"] == "1"


def test_cors(models: Path, tmp_path: Path) -> None:
    with serve(tmp_path, *single(models), "--rest_api_enable_cors_support=true") as server:
        recording = {
            "method": "OPTIONS",
            "path": "/v1/models/m:predict",
            "request_headers": {"Origin": "http://a.example"},
            "request_body": None,
            "status_line": "HTTP/1.1",
            "connection_closed_by_server": False,
        }
        answer = ask(f"127.0.0.1:{server.rest_port}", recording)
        assert answer.status_line == "HTTP/1.1 200 OK"
        assert [name for name, _ in answer.headers] == [
            "Content-Type",
            "Access-Control-Allow-Origin",
            "Access-Control-Allow-Methods",
            "Access-Control-Allow-Headers",
            "Date",
            "Content-Length",
        ]
        missing = ask(f"127.0.0.1:{server.rest_port}", recording | {"method": "GET", "path": "/v1/models/nope"})
        assert ("Access-Control-Allow-Origin", "*") in missing.headers
        elsewhere = ask(f"127.0.0.1:{server.rest_port}", recording | {"method": "GET", "path": "/"})
        assert "Access-Control-Allow-Origin" not in dict(elsewhere.headers)


def _certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """A key and a certificate for localhost, self-signed or signed by `issuer`."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    command: list = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate]
    if issuer:
        command += ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("verify", [False, True])
def test_tls(models: Path, tmp_path: Path, verify: bool) -> None:
    _certificate(tmp_path, "authority")
    for name in ("server", "client"):
        _certificate(tmp_path, name, "authority")

    def content(file: str) -> str:
        return (tmp_path / file).read_text()

    fields = {"server_key": "server.key", "server_cert": "server.crt", "custom_ca": "authority.crt"}
    config = "".join(f"{field}: {json.dumps(content(file))}\n" for field, file in fields.items())
    (tmp_path / "ssl").write_text(config + f"client_verify: {str(verify).lower()}\n")
    root = content("authority.crt").encode()
    pair = {"private_key": content("client.key").encode(), "certificate_chain": content("client.crt").encode()}
    with serve(tmp_path, *single(models), f"--ssl_config_file={tmp_path}/ssl") as server:
        assert server.predict("m", [[1.0]]) == [[2.5]]  # REST stays plain
        status = "/tensorflow.serving.ModelService/GetModelStatus"
        address = f"localhost:{server.grpc_port}"
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root, **pair)) as channel:
            channel.unary_unary(status)(b"\x0a\x03\x0a\x01m", timeout=10)
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
            call = channel.unary_unary(status).future(b"\x0a\x03\x0a\x01m", timeout=3)
            assert (call.exception() is not None) is verify


# --- reloading ---


def reload(server: ModelServer, config: str, timeout: float = 20) -> tuple[str, str]:
    types = MESSAGES["HandleReloadConfigRequest"]
    request = text_format.Parse(f"config {{ {config} }}" if config else "", types[0]())
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        try:
            return "OK", canonical(types[1].FromString(call(request.SerializeToString(), timeout=timeout)))
        except grpc.RpcError as failure:
            error: Any = failure  # a grpc.Call too
            return error.code().name, text(error.details())


def _recorded_reloads(file: str) -> dict[str, dict]:
    return {entry["name"]: entry for entry in json.loads((FOLDER / file).read_text())}


def test_reload_refusals_as_recorded(models: Path, tmp_path: Path) -> None:
    """Each request of the recording that is refused, in the state it was refused in."""
    recorded = _recorded_reloads("grpc_reload.json")
    with serve(tmp_path, *single(models, as_name="m1")) as server:
        for name in (
            *("reload_empty_request", "reload_relative_path", "reload_noplatform", "reload_badplatform"),
            *("reload_dup", "reload_nopath"),
        ):
            entry = recorded[name]
            request = entry["request"].replace("/models/", f"{models}/")
            config = request.removeprefix("config {").rstrip().removesuffix("}") if request else ""
            assert reload(server, config) == (entry["code"], entry["details"]), name
        assert server.states("m1") == {2: "AVAILABLE"}


def test_labels_by_default_flags_as_recorded(models: Path, tmp_path: Path) -> None:
    recorded = _recorded_reloads("grpc_reload_default_flags.json")
    with serve(tmp_path, *single(models)) as server:
        for name in (
            *("label_to_loaded_version", "two_versions_and_label_to_not_yet_loaded", "move_label_to_2", "drop_labels"),
            "new_model_with_label",
        ):
            entry = recorded[name]
            code, answer = reload(server, entry["config"].replace("/models/", f"{models}/"))
            assert (code, answer) == (entry["code"], entry.get("details", entry.get("response"))), name
        both = recorded["drop_labels"]["config"].replace("/models/", f"{models}/")
        assert reload(server, both)[0] == "OK"
        wait_until(lambda: server.states("m") == {2: "AVAILABLE", 1: "AVAILABLE"})
        label = recorded["label_back_1"]["config"].replace("/models/", f"{models}/")
        assert reload(server, label)[0] == "OK"
        status, answer = server.rest("POST", "/v1/models/m/labels/stable:predict", {"instances": [[1.0]]})
        assert (status, answer) == (200, {"predictions": [[3.0]]})


def test_reload_adds_removes_and_reports(models: Path, tmp_path: Path) -> None:
    entry = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" }}'
    linear, multi = entry.format("m", models / "linear_regression_model"), entry.format("n", models / "multi")
    (tmp_path / "corrupt" / "1").mkdir(parents=True)
    (tmp_path / "corrupt" / "1" / "saved_model.pb").write_bytes(b"\xff" * 4096)
    with serve(tmp_path, *single(models), "--max_num_load_retries=0") as server:
        assert reload(server, f"model_config_list {{ {linear} {multi} }}") == ("OK", "status {\n}\n")
        assert server.states("n") == {1: "AVAILABLE"}
        bad = entry.format("bad", tmp_path / "corrupt")
        code, details = reload(server, f"model_config_list {{ {linear} {bad} }}")
        recorded = _recorded_reloads("grpc_reload_default_flags.json")["add_corrupt_model_no_retries"]
        assert (code, details.replace(str(tmp_path), "/data")) == (recorded["code"], recorded["details"])
        wait_until(lambda: server.states("n") == {1: "END"})
        assert server.rest("POST", "/v1/models/n:predict", {"instances": []}) == (
            404,
            {"error": "Servable not found for request: Latest(n)"},
        )
        # A model whose folder is missing is waited for, but holds up no later call.
        missing = entry.format("zz", "/nonexistent")
        assert reload(server, f"model_config_list {{ {linear} {missing} }}", timeout=0.5)[0] == "DEADLINE_EXCEEDED"
        assert reload(server, f"model_config_list {{ {linear} }}", timeout=5)[0] == "OK"
        assert reload(server, "model_config_list { }", timeout=5)[0] == "OK"
        wait_until(lambda: server.states("m") == {2: "END"})
        assert reload(server, f"model_config_list {{ {linear} }}")[0] == "OK"
        assert server.predict("m", [[1.0]]) == [[2.5]]


def test_config_file_is_polled(models: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    entry = 'config {{ name: "m" base_path: "{}" model_platform: "tensorflow" {} }}'

    def write(policy: str) -> None:
        linear = models / "linear_regression_model"
        (tmp_path / "new").write_text(f"model_config_list {{ {entry.format(linear, policy)} }}")
        (tmp_path / "new").rename(config)

    write("")
    flags = [f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"]
    with serve(tmp_path, *flags) as server:
        assert server.states("m") == {2: "AVAILABLE"}
        write("model_version_policy { specific { versions: 1 } }")
        wait_until(lambda: server.states("m") == {2: "END", 1: "AVAILABLE"})
        config.write_text("garbage")
        wait_until(lambda: "Invalid protobuf file" in server.log.read_text())
        assert server.predict("m", [[1.0]]) == [[3.0]]


def test_two_servers_do_not_share_a_port(models: Path, tmp_path: Path) -> None:
    port, rest = free_ports()
    ended = run(*single(models), f"--port={port}", f"--rest_api_port={port}")
    assert ended.returncode == 255 and "give REST another port" in ended.stdout
    assert rest
