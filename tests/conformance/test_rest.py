"""Every recorded REST exchange, asked again byte for byte over a plain socket."""

import base64
import json
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from .comparison import document, lines, text

RECORDINGS = json.loads((Path(__file__).parent / "recordings" / "rest.json").read_text())

# Where the embedded server answers differently on purpose; docs/model-server.md says why.
DIFFERENT = {}
# Which output is named depends on the order of a map: either is right.
_MAP_ORDER = {"sh_mismatch_row": "has inconsistent batch size:"}


@dataclass
class Answer:
    """A response as it came over the wire; `closed` if the server ended the connection."""

    status_line: str
    headers: list[tuple[str, str]]
    body: bytes
    closed: bool


def body_of(value: str | dict | None) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return (value or "").encode()


def ask(endpoint: str, recording: dict) -> Answer:
    """Sends the recorded request and reads one response."""
    host, port = endpoint.rsplit(":", 1)
    head = f"{recording['method']} {recording['path']} HTTP/1.{0 if '1.0' in recording['status_line'] else 1}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in recording["request_headers"].items())
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head.encode() + b"\r\n" + body_of(recording["request_body"]))
        return _read(client, recording["method"], recording["connection_closed_by_server"])


def _read(client: socket.socket, method: str, expects_close: bool) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data or data.startswith(b"HTTP/1.1 100"):
        if data.startswith(b"HTTP/1.1 100") and b"\r\n\r\n" in data:
            data = data.split(b"\r\n\r\n", 1)[1]
            continue
        received = client.recv(1 << 16)
        if not received:
            break
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *rest = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    length = dict(headers).get("Content-Length")
    while length is None or len(body) < int(length):
        client.settimeout(0.5 if length is None and method == "HEAD" else 30)
        try:
            received = client.recv(1 << 16)
        except TimeoutError:
            break
        if not received:
            return Answer(status_line, headers, body, True)
        body += received
    client.settimeout(2 if expects_close else 0.005)
    try:
        closed = client.recv(1) == b""
    except TimeoutError:
        closed = False
    return Answer(status_line, headers, body, closed)


def _names(headers: list) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name not in ("Date", "Content-Length")]


@pytest.mark.parametrize("recording", RECORDINGS, ids=[recording["name"] for recording in RECORDINGS])
def test_recorded(recording: dict, endpoint) -> None:
    if isinstance(recording["request_body"], str) and recording["request_body"].startswith("<"):
        pytest.skip("the recording holds only the size of this request")
    answer = ask(endpoint.rest, recording)
    if endpoint.embedded and recording["name"] in DIFFERENT:
        assert (answer.status_line, document(answer.body)) == DIFFERENT[recording["name"]]
        return
    assert answer.status_line == recording["status_line"], answer.body[:500]
    assert _names(answer.headers) == _names([tuple(pair) for pair in recording["response_headers"]])
    _compare_body(recording, answer)
    if recording["method"] not in ("HEAD", "CONNECT"):
        assert answer.closed == recording["connection_closed_by_server"]


def _compare_body(recording: dict, answer: Answer) -> None:
    expected = body_of(recording["response_body"])
    if recording["name"] in _MAP_ORDER:
        assert _MAP_ORDER[recording["name"]] in answer.body.decode()
    elif not expected.startswith(b"<") or expected.startswith(b"<HTML"):
        assert document(answer.body) == document(expected)
        assert lines(answer.body) == lines(expected)
        if not text(expected.decode("utf-8", "replace")).count("__inference"):
            assert len(answer.body) == len(expected)
