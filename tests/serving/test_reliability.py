"""What must not wear the server down: reloads, clients that misbehave, folders that are not what they should be."""

import os
import shutil
import socket
import threading
import time

import grpc
import numpy as np
import psutil
import pytest
from google.protobuf import text_format

from serving.embedded.protos import model_management_pb2, predict_pb2

from .process import wait_until

# 360 reloads are an hour's worth at one every ten seconds: RELOADS=360 pytest tests/serving/test_reliability.py
RELOADS = int(os.environ.get("RELOADS", "40"))


def test_memory_stays_flat_over_reloads(serve, install, base) -> None:
    install(1)
    install(2)
    with serve("--file_system_poll_wait_seconds=0") as server:
        memory = psutil.Process(server.process.pid).memory_info
        sizes = []
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
            for count in range(RELOADS):
                _serve_only(call, base, 1 + count % 2)
                other = 2 - count % 2
                wait_until(lambda other=other: server.states("m").get(other) in (None, "END"))
                assert server.predict("m", [[1.0]]) == [[1.0 + count % 2]]
                sizes.append(memory().rss >> 20)
        early, late = max(sizes[RELOADS // 4 : RELOADS // 2]), min(sizes[-RELOADS // 4 :])
        print(f"{RELOADS} reloads, resident MB: {sizes[0]} … {sizes[RELOADS // 2]} … {sizes[-1]}")
        assert late <= early + max(8, 0.05 * RELOADS), sizes


def _serve_only(call, base, version: int) -> None:
    policy = f"model_version_policy {{ specific {{ versions: {version} }} }}"
    config = f'config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {policy} }}'
    request = text_format.Parse(
        f"config {{ model_config_list {{ {config} }} }}", model_management_pb2.ReloadConfigRequest()
    )
    call(request.SerializeToString(), timeout=20)


def test_clients_that_go_away(serve, library) -> None:
    """Half a request, no reading of the answer, gone in the middle: nobody else notices, and nothing is left open."""
    with serve(f"--model_base_path={library / 'affine'}") as server:
        process = psutil.Process(server.process.pid)
        before = process.num_fds()
        for port in (server.rest_port, server.grpc_port):
            for data in (b"", b"POST /v1/models/m:pre", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 3000):
                for _ in range(5):
                    client = socket.create_connection(("127.0.0.1", port))
                    client.sendall(data)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                    client.close()
        assert server.predict("m", [[1.0]]) == [[3.0]]
        wait_until(lambda: process.num_fds() <= before + 2, 10, "connections to be closed")


def test_client_that_leaves_while_its_request_runs(serve, library) -> None:
    with serve(f"--model_base_path={library / 'slow'}") as server:
        body = b'{"instances":[2.0]}'
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", server.rest_port))
            client.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            client.close()
        assert server.predict("m", [0.01]) == [0.01]


def test_model_is_unloaded_although_clients_gave_up_on_it(serve, library, base) -> None:
    """Calls that were reset, running or still waiting, do not keep their version for ever."""
    for version in ("1", "2"):
        shutil.copytree(library / "slow" / "1", base / version)
    with serve("--grpc_max_threads=1", "--rest_api_num_threads=1") as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            call = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict", predict_pb2.PredictRequest.SerializeToString
            )
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            request.inputs["n"].dtype = 1
            request.inputs["n"].tensor_shape.dim.add(size=1)
            request.inputs["n"].float_val.append(0.5)
            pending = [call.future(request) for _ in range(4)]
            time.sleep(0.2)  # they must have arrived
            for future in pending:
                future.cancel()
        shutil.rmtree(base / "2")
        wait_until(lambda: server.states("m") == {2: "END", 1: "AVAILABLE"})


def test_slow_client_holds_up_nobody(serve, library) -> None:
    with serve(f"--model_base_path={library / 'affine'}") as server:
        request = b'POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 21\r\n\r\n{"instances":[[1.0]]}'
        with socket.create_connection(("127.0.0.1", server.rest_port)) as slow:
            for at in range(len(request) - 1):
                slow.sendall(request[at : at + 1])
                if at % 20 == 0:
                    assert server.predict("m", [[2.0]]) == [[6.0]]
            slow.sendall(request[-1:])
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_client_that_pipelines_and_never_reads_is_made_to_wait(serve, library) -> None:
    """Its answers do not pile up in memory, and it gets all of them once it reads."""
    count, rows = 1200, 2000
    body = b'{"instances":[' + b",".join([b"[1.25]"] * rows) + b"]}"
    request = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with serve(f"--model_base_path={library / 'affine'}", "--rest_api_max_body_bytes=100000") as server:
        process = psutil.Process(server.process.pid)
        for _ in range(20):
            server.predict("m", [[1.0]] * rows)
        before = _own_memory(process)
        with socket.create_connection(("127.0.0.1", server.rest_port)) as client:
            sender = threading.Thread(target=lambda: client.sendall(request * count))
            sender.start()
            wait_until(lambda: _is_idle(server.process.pid), 60, "the server to wait for the client")
            assert _own_memory(process) - before < 8 << 20
            received, tail, status = 0, b"", b"HTTP/1.1 200 OK"
            while received < count:
                data = tail + client.recv(1 << 20)
                received, tail = received + data.count(status), data[1 - len(status) :]
            sender.join()


def _own_memory(process: psutil.Process) -> int:
    """Bytes. Without what is mapped of files: the system takes pages of TensorFlow's library away, and brings them back, as it pleases."""
    memory = process.memory_info()
    return memory.rss - memory.shared


def _is_idle(pid: int) -> bool:
    """Whether a process spends next to no time over a third of a second."""
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(0.3)
    return sum(process.cpu_times()[:2]) - before < 0.03


def test_large_message_both_ways(serve, library) -> None:
    """40 MB over gRPC, beyond every default limit, and past the flow-control window of the client."""
    rows = 10_000_000
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in (rows, 1):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = bytes(4 * rows)
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with (
        serve(f"--model_base_path={library / 'affine'}", "--enable_serialization_as_tensor_content=true") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel,
    ):
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        response = predict_pb2.PredictResponse.FromString(call(request.SerializeToString(), timeout=60))
    assert len(response.outputs["y"].tensor_content) == 4 * rows


def _break_nothing(version) -> None:
    shutil.rmtree(version)
    version.mkdir()


def _break_graph(version) -> None:
    (version / "saved_model.pb").write_bytes(b"\xff" * 100)


def _break_variables(version) -> None:
    shutil.rmtree(version / "variables")


def _cut_variables(version) -> None:
    (version / "variables" / "variables.data-00000-of-00001").write_bytes(b"")


def _make_file(version) -> None:
    shutil.rmtree(version)
    version.write_bytes(b"")


BROKEN = {
    "empty": (_break_nothing, "NOT_FOUND"),
    "corrupt": (_break_graph, "DATA_LOSS"),
    "no_variables": (_break_variables, "NOT_FOUND"),
    "cut_variables": (_cut_variables, None),
    "a_file": (_make_file, "FAILED_PRECONDITION"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folder_keeps_the_good_version_and_is_retried_once_repaired(name, serve, install, base, library) -> None:
    breaks, code = BROKEN[name]
    install(1)
    partial = base / ".partial"
    shutil.copytree(library / "affine" / "2", partial)
    breaks(partial)
    with serve("--max_num_load_retries=0") as server:
        partial.rename(base / "2")
        wait_until(lambda: server.states("m").get(2) == "END")
        _, document = server.rest("GET", "/v1/models/m/versions/2")
        status = document["model_version_status"][0]["status"]
        assert status["error_code"] == code if code else status["error_code"] != "OK"
        assert server.predict("m", [[1.0]]) == [[1.0]]
        # The copy is finished under the name that was there too early.
        if (base / "2").is_file():
            (base / "2").unlink()
        shutil.copytree(library / "affine" / "2", base / "2", dirs_exist_ok=True)
        wait_until(lambda: server.states("m") == {2: "AVAILABLE", 1: "END"})
        assert server.predict("m", [[1.0]]) == [[2.0]]


def test_base_folder_that_goes_away_leaves_the_model_served(serve, install, base) -> None:
    install(1)
    with serve() as server:
        shutil.rmtree(base)
        wait_until(lambda: "Could not find base path" in server.log.read_text())
        assert server.states("m") == {1: "AVAILABLE"}
        base.mkdir()
        install(2)
        wait_until(lambda: server.states("m") == {2: "AVAILABLE", 1: "END"})


def test_a_broken_version_does_not_hold_up_a_newer_good_one(serve, install, base) -> None:
    """TensorFlow Serving looks at nothing else for five minutes of retries."""
    install(1)
    with serve() as server:
        (base / "2").mkdir()
        wait_until(lambda: server.states("m").get(2) == "LOADING")
        install(3)
        started = time.monotonic()
        wait_until(lambda: server.states("m").get(3) == "AVAILABLE")
        assert time.monotonic() - started < 20


def test_keepalive_and_age_of_grpc_connections(serve, library) -> None:
    """A client whose connection is closed for its age goes on without noticing."""
    flags = f"--model_base_path={library / 'affine'}", "--grpc_channel_arguments=grpc.max_connection_age_ms=300"
    with serve(*flags) as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            call(b"\x0a\x03\x0a\x01m", timeout=5)


OTHER_RANKS = [1.0, [1.0], [[1.0]], [[[[1.0]]]]]


@pytest.mark.parametrize(("model", "small"), [("blur", []), ("pool", [[[1.0]]])])
def test_a_shape_does_not_reach_the_operation_that_it_would_end(serve, library, model: str, small: list) -> None:
    """In a graph that no export has guarded: a convolution takes one rank, and a pool no picture that is smaller than its window."""
    with serve(f"--model_base_path={library / model}") as server:
        for instance in [*OTHER_RANKS, small]:
            status, document = server.rest("POST", "/v1/models/m:predict", {"instances": [instance]})
            words = (
                "but the requested shape has 4" if instance == [[[1.0]]] else "is not compatible with expected shape"
            )
            assert status == 400 and words in document["error"]
        assert np.ravel(server.predict("m", [[[[1.0], [0.0]], [[0.0], [0.0]]]])) == [1.0]


@pytest.mark.parametrize(("model", "kernels"), [("blur", "oneDNN's"), ("affine", "plain")])
def test_onednn_is_for_models_that_convolve(serve, library, model: str, kernels: str) -> None:
    with serve(f"--model_base_path={library / model}") as server:
        assert f"TensorFlow runs with {kernels} kernels" in server.log.read_text()
