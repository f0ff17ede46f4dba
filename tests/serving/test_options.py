"""Options that the recordings do not cover: the access log, health, CPU limits, batching per model, tags."""

import json
import shutil
import subprocess
import sys
import threading
from typing import Any

import grpc
import pytest

from .process import ROOT, wait_until


def test_access_log_is_a_json_line_per_request(serve, install) -> None:
    install(1)
    with serve("--access_log") as server:
        server.predict("m", [[1.0]])
        server.rest("GET", "/v1/models/nope")
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")(b"\x0a\x03\x0a\x01m")
        wait_until(lambda: server.log.read_text().count('"protocol"') >= 3)
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    seen = [(line["protocol"], line["request"], line["status"]) for line in lines if line["request"] != "GET /"]
    assert seen == [
        ("REST", "POST /v1/models/m:predict", 200),
        ("REST", "GET /v1/models/nope", 404),
        ("gRPC", "/tensorflow.serving.ModelService/GetModelStatus", "OK"),
    ]
    assert all(line["milliseconds"] >= 0 and line["client"] for line in lines)


def test_health_of_the_server_and_of_each_model(serve, install) -> None:
    install(1)
    with serve("--enable_grpc_healthcheck_service") as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            for service in (b"", b"m", b"tensorflow.serving.PredictionService"):
                request = b"\x0a" + bytes((len(service),)) + service if service else b""
                assert check(request) == b"\x08\x01"
            with pytest.raises(grpc.RpcError) as failure:
                check(b"\x0a\x04nope")
            error: Any = failure.value  # a grpc.Call too
            assert error.code() is grpc.StatusCode.NOT_FOUND
            watched = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            assert next(watched) == b"\x08\x01"
            server.process.terminate()
            assert next(watched) == b"\x08\x02"
        assert server.process.wait(20) == 0


def test_threads_follow_the_cpus_this_process_may_use() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from serving.embedded import flags; "
    code += "print(flags.cpu_count(), flags.parse([])['rest_api_num_threads'])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, threads = shown.stdout.split()
    assert 0 < float(count) <= 1.0 and int(threads) <= 4


def test_batching_parameters_of_a_model(serve, install, base) -> None:
    """A model with its own parameters is batched by them; one without is not batched."""
    install(1)
    install(2)
    (base / "2" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 } batch_timeout_micros { value: 0 }")
    flags = ("--enable_batching", "--enable_per_model_batching_parameters")
    with serve(*flags) as server:
        status, answer = server.rest("POST", "/v1/models/m:predict", {"instances": [[1.0]] * 3})
        assert (status, answer) == (400, {"error": "Task size 3 is larger than maximum input batch size 2"})
        assert server.predict("m", [[1.0], [2.0]]) == [[2.0], [4.0]]
        shutil.rmtree(base / "2")
        wait_until(lambda: server.states("m").get(1) == "AVAILABLE")
        assert server.predict("m", [[1.0]] * 3) == [[1.0]] * 3


@pytest.mark.parametrize("sizes", ["allowed_batch_sizes: 4 allowed_batch_sizes: 8", ""])
def test_batches_of_allowed_sizes_answer_each_request_alone(serve, install, tmp_path, sizes) -> None:
    install(3)
    (tmp_path / "batching").write_text(
        f"max_batch_size {{ value: 8 }} batch_timeout_micros {{ value: 3000 }} max_enqueued_batches {{ value: 100 }} {sizes}"
    )
    with serve("--enable_batching", f"--batching_parameters_file={tmp_path / 'batching'}") as server:
        answers: dict[int, list] = {}

        def ask(number: int) -> None:
            rows = [[float(number + row)] for row in range(1 + number % 3)]
            answers[number] = server.predict("m", rows)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {number: [[3.0 * (number + row)] for row in range(1 + number % 3)] for number in range(24)}


def test_tags_that_no_graph_has(serve, install) -> None:
    install(1)
    with serve("--saved_model_tags=nope", "--max_num_load_retries=0", wait=False) as server:
        assert server.process.wait(30) == 255
    assert "Could not find meta graph def matching supplied tags" in server.log.read_text()


def test_compressed_grpc_requests(serve, install) -> None:
    install(1)
    with (
        serve() as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=grpc.Compression.Gzip) as channel,
    ):
        call = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        assert call(b"\x0a\x03\x0a\x01m", timeout=5)


def test_many_calls_on_one_grpc_connection(serve, install) -> None:
    install(1)
    with serve() as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        pending = [call.future(b"\x0a\x03\x0a\x01m", timeout=20, metadata=[("x-number", str(n))]) for n in range(300)]
        assert len({future.result() for future in pending}) == 1
