"""verify: every golden example, in as few requests as they fit into, the wrong one by its number; and servers that give no answer."""

import http.server
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.environments import answers, client, verification
from scripts.environments.client import Endpoint
from scripts.release.releases import Release
from tests.support.fork import Fork


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("verify") / "fork")
    fork.release(SLOPE="3.0")
    fork.ok("deploy", "local")
    yield fork
    fork.clean_up()


def test_many_examples_share_requests_and_the_wrong_one_is_named(served: Fork) -> None:
    document = served.read("build/release/release.json")
    (example,) = document["models"][0]["examples"][:1]
    batch = {"inputs": {"x": [[1.0], [2.0]]}, "outputs": {"y": [[3.0], [6.0]]}, "tolerance": 0.001}
    wrong = batch | {"outputs": {"y": [[3.0], [7.0]]}}
    document["models"][0]["examples"] = [*[example] * 30, *[batch] * 40, wrong, *[batch] * 40]
    endpoint = Endpoint("127.0.0.1", served.rest_port, served.grpc_port)
    before = requests_of(served)
    assert verification.problems(endpoint, Release(served.root, document)) == [
        "instant: example 71 by REST: y[1][0] is 6.0, not 7.0",
        "instant: example 71 by gRPC: y[1][0] is 6.0, not 7.0",
    ]
    assert requests_of(served) - before < 2 * 111 / 3


def requests_of(fork: Fork) -> int:
    """How many the server has answered, as its metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fork.rest_port}/monitoring/prometheus/metrics") as answer:
        lines = [
            line
            for line in answer.read().decode().splitlines()
            if line.startswith(":tensorflow:serving:request_count{")
        ]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


class Way:
    """To the server of `served`, but for its first `lost` openings, which lead to where nobody answers."""

    def __init__(self, served: Fork, lost: int = 0):
        self.trouble, self.opened, self._ports, self._lost = "", 0, (served.rest_port, served.grpc_port), lost

    @contextmanager
    def open(self) -> Iterator[tuple[int, int]]:
        self.opened += 1
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
            yield (port, port) if self.opened <= self._lost else self._ports


class Servers:
    """An environment that has each of `looks` in turn, and the last one from then on."""

    name = "dev"

    def __init__(self, *looks: list[Endpoint]):
        self.looks = list(looks)

    @contextmanager
    def endpoints(self) -> Iterator[list[Endpoint]]:
        yield self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def test_a_request_that_is_lost_on_the_way_says_nothing_of_the_server(
    served: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again by another connection; a server that keeps silent is to blame."""
    release = Release(served.root, served.read("build/release/release.json"))
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 2)
    assert verification.problems(Endpoint("127.0.0.1", way=Way(served, lost=1)), release) == []
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 0.1)
    (problem,) = verification.problems(Endpoint("127.0.0.1", way=Way(served, lost=2)), release)
    assert problem.endswith(": timed out, twice: it was asked no further")


def test_a_server_that_hangs_is_not_asked_hundreds_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, done = [], threading.Event()

    class Hanging(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            states = (
                b'{"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_message": ""}}]}'
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(states)))
            self.end_headers()
            self.wfile.write(states)

        def do_POST(self) -> None:
            asked.append(self.path)
            if len(asked) < 10:
                done.wait()

        def log_message(self, *arguments: object) -> None:
            pass

    example = {"inputs": {"x": [[1.0]]}, "outputs": {"y": [[2.0]]}, "tolerance": 0.001}
    release = Release(Path(), {"version": 1, "id": "a", "models": [{"name": "m", "examples": [example] * 500}] * 2})
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 0.5)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hanging) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            (problem,) = verification.problems(Endpoint("127.0.0.1", server.server_port), release)
        finally:
            done.set()
            server.shutdown()
    assert problem.startswith("m: example 1 by REST: ")
    assert len(asked) <= 4


def test_a_server_that_goes_while_it_is_asked_says_nothing_of_the_release(served: Fork) -> None:
    release = Release(served.root, served.read("build/release/release.json"))
    stays = Endpoint("127.0.0.1", served.rest_port, served.grpc_port, name="stays")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    goes = Endpoint("127.0.0.1", port, port, name="goes")
    assert answers.ask(Servers([stays, goes], [stays]), release) == ([], 1)
    problems, servers = answers.ask(Servers([stays, goes]), release)
    assert servers == 2
    assert [problem.partition(":")[0] for problem in problems] == ["goes"]


def test_many_servers_are_asked_a_bounded_number_at_once_each_by_one_way(served: Fork) -> None:
    """And while one keeps its asker waiting the others are asked."""
    release = Release(served.root, served.read("build/release/release.json"))
    now, most, lock, others = 0, 0, threading.Lock(), threading.Event()

    class Counted(Way):
        @contextmanager
        def open(self) -> Iterator[tuple[int, int]]:
            nonlocal now, most
            with lock:
                now, most = now + 1, max(most, now + 1)
            if self is ways[0]:
                assert others.wait(60)
            if self is ways[-1]:
                others.set()
            with super().open() as ports:
                yield ports
            with lock:
                now -= 1

    ways = [Counted(served) for _ in range(2 * answers.AT_ONCE + 1)]
    endpoints = [Endpoint("127.0.0.1", name=str(number), way=way) for number, way in enumerate(ways)]
    assert answers.ask(Servers(endpoints), release) == ([], len(ways))
    assert [way.opened for way in ways] == [1] * len(ways)
    assert most <= 16
