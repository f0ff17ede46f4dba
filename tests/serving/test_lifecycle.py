"""Start, hot reload and end of the embedded server, against the real process."""

import shutil
import signal
import subprocess
import threading
import time
from typing import Any, Self

import grpc
import pytest

from serving.embedded.protos import get_model_status_pb2, predict_pb2, prediction_log_pb2
from serving.embedded.servable import WARMUP_FILE
from tests.support.ports import free_ports

from .process import ROOT, wait_until
from .records import write_records


class Loop:
    """A client that asks without pause until it is told to stop; `answers` is what it has got, `failures` what not."""

    def __init__(self, server) -> None:
        self._server, self._stop = server, threading.Event()
        self.answers: list[Any] = []
        self.failures: list[object] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            status, document = self._server.rest("POST", "/v1/models/m:predict", {"instances": [[1.0]]})
            (self.answers if status == 200 else self.failures).append(document)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


def test_swap_up_and_down_loses_no_request(serve, install, base) -> None:
    install(1)
    with serve() as server, Loop(server) as client:
        install(2)
        wait_until(lambda: server.states("m") == {2: "AVAILABLE", 1: "END"})
        assert server.predict("m", [[1.0]]) == [[2.0]]
        shutil.rmtree(base / "2")
        wait_until(lambda: server.states("m") == {2: "END", 1: "AVAILABLE"})
        assert server.predict("m", [[1.0]]) == [[1.0]]
    assert not client.failures
    assert {answer["predictions"][0][0] for answer in client.answers} == {1.0, 2.0}


def test_broken_version_never_replaces_a_good_one(serve, install, base) -> None:
    install(1)
    with serve("--max_num_load_retries=0") as server:
        (base / "2").mkdir()
        (base / "2" / "saved_model.pb").write_bytes(b"\xff" * 4096)
        wait_until(lambda: server.states("m").get(2) == "END")
        assert server.states("m")[1] == "AVAILABLE"
        _, document = server.rest("GET", "/v1/models/m/versions/2")
        assert document["model_version_status"][0]["status"]["error_code"] != "OK"
        assert server.predict("m", [[1.0]]) == [[1.0]]
        install(3)
        wait_until(lambda: server.states("m") == {3: "AVAILABLE", 2: "END", 1: "END"})


def test_ports_stay_closed_until_a_version_appears(serve, install, base) -> None:
    (base / ".5.tmp").mkdir()
    (base / "notes").mkdir()
    with serve(wait=False) as server:
        wait_until(lambda: "No versions of servable m" in server.log.read_text())
        assert not server.is_open() and not server.is_open(server.grpc_port)
        install(1)
        wait_until(server.is_open)
        assert server.states("m") == {1: "AVAILABLE"}


def test_warm_up_runs_before_the_ports_open(serve, install, base) -> None:
    install(1)
    write_records(base / "1" / WARMUP_FILE, [_warm_up([[1.0]]), _warm_up([[2.0]])])
    with serve() as server:
        assert "Warmed up m version 1 with 2 requests" in server.log.read_text()


def test_warm_up_that_fails_refuses_the_version(serve, install, base) -> None:
    install(1)
    write_records(base / "1" / WARMUP_FILE, [_warm_up([[1.0]], alias="zz")])
    with serve("--max_num_load_retries=0", wait=False) as server:
        assert server.process.wait(30) == 255
    assert "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available" in server.log.read_text()


def _warm_up(x: list, alias: str = "x") -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "m"
    tensor = request.inputs[alias]
    tensor.dtype = 1
    for size in (len(x), 1):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(value for row in x for value in row)
    return log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_what_is_in_flight(serve, library, number) -> None:
    with serve(f"--model_base_path={library / 'slow'}", "--enable_grpc_healthcheck_service=true") as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01" == check(b"\x0a\x01m")
        answers: list = []
        rest = threading.Thread(target=lambda: answers.append(server.predict("m", [_seconds(server)])))
        call = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            predict_pb2.PredictRequest.SerializeToString,
            predict_pb2.PredictResponse.FromString,
        )
        pending = call.future(_slow_request(_seconds(server)))
        rest.start()
        time.sleep(0.3)  # both requests must have reached the model; nothing tells from outside that they have
        server.process.send_signal(number)
        rest.join()
        assert len(answers) == 1
        assert list(pending.result().outputs) == ["y"]
        assert server.process.wait(20) == 0


_unit: list[float] = []


def _seconds(server) -> float:
    """The input that keeps the slow model busy for about a second and a half; measured once."""
    if not _unit:
        server.predict("m", [1.0])
        started = time.monotonic()
        server.predict("m", [1.0])
        _unit.append(time.monotonic() - started)
    return round(1.5 / _unit[0], 2)


def _slow_request(n: float) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["n"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(n)
    return request


def test_version_removed_while_a_request_on_it_is_in_flight(serve, library, base) -> None:
    shutil.copytree(library / "slow" / "1", base / "1")
    shutil.copytree(library / "slow" / "1", base / "2")
    with serve() as server:
        answers: list = []
        thread = threading.Thread(target=lambda: answers.append(server.predict("m", [_seconds(server) * 2])))
        _seconds(server)
        thread.start()
        time.sleep(0.2)  # the request must be in the model
        shutil.rmtree(base / "2")
        wait_until(lambda: server.states("m").get(1) == "AVAILABLE")
        thread.join()
        assert len(answers) == 1
        wait_until(lambda: server.states("m") == {2: "END", 1: "AVAILABLE"})


@pytest.mark.parametrize("taken", ["rest_api_port", "port"])
def test_port_in_use(serve, install, taken) -> None:
    install(1)
    with serve() as first:
        free = free_ports()
        flags = (free[0], first.rest_port) if taken == "rest_api_port" else (first.grpc_port, free[1])
        command = [*first.command, f"--port={flags[0]}", f"--rest_api_port={flags[1]}"]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 255
    assert f"is in use by another process: stop it, or give another port by --{taken}" in second.stdout
    assert second.stderr.count("\n") <= 3


def test_two_servers_that_start_together_on_one_port(serve, install, base) -> None:
    """Both wait for a model, neither listens yet; one of them gets the port and the other says so."""
    with serve(wait=False) as first, serve(wait=False, grpc_port=first.grpc_port, rest_port=first.rest_port) as second:
        wait_until(lambda: first.log.read_text().count("No versions of servable m") >= 2)
        install(1)
        wait_until(lambda: None not in (first.process.poll(), second.process.poll()) or first.is_open())
        wait_until(lambda: {first.process.poll(), second.process.poll()} == {None, 255})
        assert first.predict("m", [[1.0]]) == [[1.0]]
        assert "is in use by another process" in first.log.read_text()


def test_signal_while_waiting_for_a_model(serve) -> None:
    with serve(wait=False) as server:
        wait_until(lambda: "No versions of servable m" in server.log.read_text())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_grpc_over_a_unix_socket(serve, install, tmp_path) -> None:
    install(1)
    with (
        serve(f"--grpc_socket_path={tmp_path}/socket", "--port=0") as server,
        grpc.insecure_channel(f"unix:{tmp_path}/socket") as channel,
    ):
        assert not server.is_open(server.grpc_port)
        assert channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")(b"\x0a\x03\x0a\x01m")


def test_status_over_grpc(serve, install) -> None:
    install(1)
    with serve() as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            get_model_status_pb2.GetModelStatusRequest.SerializeToString,
            get_model_status_pb2.GetModelStatusResponse.FromString,
        )
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        (status,) = call(request).model_version_status
        assert (status.version, status.state) == (1, status.AVAILABLE)
        request.model_spec.name = "nope"
        with pytest.raises(grpc.RpcError) as failure:
            call(request)
        error: Any = failure.value  # a grpc.Call too
        assert error.code() is grpc.StatusCode.NOT_FOUND
