"""An API server that stumbles, one fault after the other: each is waited out, and what stays is said in words. At random: tests/cluster."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.environments import api
from scripts.environments.api import Api, Unreachable
from scripts.environments.refusals import ClusterRefusal
from scripts.workspace.errors import YourTurn

Answer = tuple[int, str, bytes]  # status, Content-Type, body; a status of 0 cuts the connection
JSON = "application/json"
GOOD: Answer = (200, JSON, b'{"kind": "Lease"}')


def status(code: int, message: str) -> Answer:
    return code, JSON, json.dumps({"kind": "Status", "message": message}).encode()


class Server(http.server.ThreadingHTTPServer):
    """Gives `answers` in their order, and the last one from then on; `tokens` are those that it was shown."""

    answers: list[Answer]
    tokens: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        answers = self.server.answers
        code, kind, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if not code:
            self.close_connection = True
            return
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers, server.tokens = [GOOD], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def kubeconfig(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    user, context = {"name": "u", "user": {"token": "old"}}, {"name": "x", "context": {"cluster": "c", "user": "u"}}
    document = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "users": [user], "contexts": [context]}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document | {"current-context": "x"}))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


FAULTS = {
    "429": status(429, "too many requests"),
    "500": status(500, "etcd: leader changed"),
    "503": (503, "text/html", b"<html>maintenance</html>"),
    "cut off": (200, JSON, b'{"kind": "Lea'),
    "a page in its place": (200, "text/html", b"<html>welcome</html>"),
    "no answer": (0, "", b""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stumble_is_waited_out(server: Server, kubeconfig: Path, fault: str) -> None:
    server.answers = [GOOD, FAULTS[fault], FAULTS[fault], GOOD]
    asked = Api("dev", "")
    assert [asked.request("GET", "/a")["kind"] for _ in range(2)] == ["Lease", "Lease"]
    assert len(server.tokens) == 4


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_a_stumble_of_a_watch_is_no_refusal(server: Server, kubeconfig: Path, fault: str) -> None:
    server.answers = [FAULTS[fault]]
    with pytest.raises(Unreachable):
        list(Api("dev", "").watch("/a", "1"))
    server.answers = [status(410, "too old resource version")]
    with pytest.raises(ClusterRefusal, match="too old"):
        list(Api("dev", "").watch("/a", "1"))


def test_a_token_that_has_ended_is_read_again(server: Server, kubeconfig: Path) -> None:
    asked = Api("dev", "")
    kubeconfig.write_text(kubeconfig.read_text().replace("old", "new"))
    server.answers = [status(401, "Unauthorized"), GOOD]
    assert asked.request("GET", "/a")["kind"] == "Lease"
    assert server.tokens == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("answer", "problem", "remedy"),
    [
        (FAULTS["503"], "does not answer: <html>maintenance", "kubectl get --raw /readyz"),
        (status(500, 'failed calling webhook "w": refused'), "takes no change: failed calling webhook", "webhookconf"),
        (status(401, "Unauthorized"), "does not accept these credentials: it knows no such user", "renew"),
    ],
    ids=["maintenance", "webhook", "credentials"],
)
def test_what_stays_is_said(
    server: Server, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, problem: str, remedy: str
) -> None:
    for name in ("ABSENT_SECONDS", "FIRST_SECONDS", "UNKNOWN_SECONDS"):
        monkeypatch.setattr(api, name, 0)
    server.answers = [answer]
    with pytest.raises(YourTurn, match=problem) as error:
        Api("dev", "").request("GET", "/a")
    assert remedy in error.value.remedy
