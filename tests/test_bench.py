"""Load on a server: figures of what answers, and a clear end where something does not."""

import asyncio
import json
from typing import Any

import pytest

from scripts.environments import capacity, client, load
from tests.support.fork import Fork

SHORT = ["--clients", "2", "--seconds", "0.2"]


@pytest.fixture(scope="module")
def served(shared_fork: Fork) -> Fork:
    shared_fork.release()
    shared_fork.ok("deploy", "local")
    return shared_fork


def test_figures_of_both_apis(served: Fork) -> None:
    shown = served.ok("bench", *SHORT, "--json", "bench.json").out
    rows = served.read("bench.json")
    assert [(row["model"], row["api"], row["clients"]) for row in rows] == [
        ("instant", "rest", 2),
        ("instant", "grpc", 2),
    ]
    for row in rows:
        assert row["requests"] > 0
        assert row["errors"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert f"{row['per_second']}" in shown


def test_another_server_by_its_address(served: Fork) -> None:
    served.ok("bench", *SHORT, "--rest", f"127.0.0.1:{served.rest_port}", "--json", "bench.json")
    assert [row["api"] for row in served.read("bench.json")] == ["rest"]


def test_a_request_larger_than_the_windows_of_http2(served: Fork) -> None:
    document = served.read("build/release/release.json")
    document["models"][0]["examples"][0]["inputs"] = {"x": [[1.0]] * 100_000}
    kept = (served.root / "build/release/release.json").read_text()
    (served.root / "build/release/release.json").write_text(json.dumps(document))
    try:
        served.ok("bench", *SHORT, "--grpc", f"127.0.0.1:{served.grpc_port}", "--json", "bench.json")
    finally:
        (served.root / "build/release/release.json").write_text(kept)
    assert served.read("bench.json")[0]["requests"] > 0


def test_failed_requests_are_counted_and_fail(served: Fork) -> None:
    """The server does not know the model of the newest export."""
    served.edit("build/release/release.json", '"name": "instant"', '"name": "other"')
    result = served.run("bench", *SHORT, "--rest", f"127.0.0.1:{served.rest_port}")
    served.edit("build/release/release.json", '"name": "other"', '"name": "instant"')
    assert result.code == 1
    assert "requests failed; the first: " in result.err
    assert "Servable not found for request: Latest(other)" in result.err


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_at_a_given_rate(served: Fork, api: str) -> None:
    """However many connections there are, the rate is that of all together."""
    question = client.predict_request("instant", {"x": [[1.0]]}, {"x": "float32"}).SerializeToString()
    port, path, body = {
        "rest": (served.rest_port, "/v1/models/instant:predict", b'{"instances": [[1.0]]}'),
        "grpc": (served.grpc_port, client.PREDICT, question),
    }[api]
    report = asyncio.run(load.run(api, f"127.0.0.1:{port}", path, body, clients=4, seconds=1, per_second=20))
    assert report["requests"] in range(17, 24) and not report["errors"]


def row(per_second: float, cpu: float | None) -> dict[str, Any]:
    return {"pod": "serving-1", "per_second": per_second, "cpu": cpu}


@pytest.mark.parametrize(
    ("rows", "limit", "pods"),
    [
        ([row(50, 0.35), row(50, 0.35)], 1, 2),  # 7 ms of CPU for each request: 100 a second fill a pod to 70 %
        ([row(50, 0.35), row(50, 0.36)], 1, 3),
        ([row(50, 0.35)], 2, 1),
        ([row(50, None)], 1, None),
        ([row(50, 0.35)], 0, None),
    ],
)
def test_how_many_pods_200_requests_a_second_need(rows: list[dict[str, Any]], limit: float, pods: int | None) -> None:
    assert capacity.pods_for(200, rows, limit) == pods


def test_kubernetes_writes_numbers_with_units() -> None:
    values = ["250m", "2", "12345678n", "64Mi", "1Gi", "500k"]
    assert [capacity.quantity(v) for v in values] == [0.25, 2, pytest.approx(0.012345678), 2**26, 2**30, 500_000]


REFUSED = {
    "no clients": (["--clients", "0"], "clients, seconds and rates must be more than 0"),
    "no time": (["--seconds", "0"], "clients, seconds and rates must be more than 0"),
    "nobody there": (["--rest", "127.0.0.1:9"], "127.0.0.1:9 cannot be asked: "),
    "no rate": (["dev", "--rate", "0"], "clients, seconds and rates must be more than 0"),
    "no such environment": (["prodction"], "no environment 'prodction'; did you mean 'production'?"),
    "where people are served": (["production"], "production is the last environment: people are served there"),
    "no port": (["--grpc", "here"], "here cannot be asked: "),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_refuses(served: Fork, defect: str) -> None:
    arguments, message = REFUSED[defect]
    result = served.run("bench", *arguments)
    assert result.code == 1
    assert result.err.startswith(f"error: {message}")


def test_nothing_serves(fork: Fork) -> None:
    result = fork.run("bench")
    assert result.err.startswith("error: local serves nothing\n  next: ./pipeline up")
