"""The embedded server as a process, and a client for it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]


def wait_until(condition, seconds: float = 30.0, message: str = "condition") -> None:
    """Returns when `condition()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {message}")
        time.sleep(0.02)


class ModelServer:
    """`with ModelServer("--model_base_path=…") as server:` is a server whose ports are open."""

    def __init__(
        self, *flags: str, grpc_port: int = 0, rest_port: int = 0, log: Path, wait: bool = True, env: dict | None = None
    ) -> None:
        self.grpc_port, self.rest_port = (grpc_port, rest_port) if grpc_port else free_ports()
        self.log, self._wait = log, wait
        arguments = [f"--port={self.grpc_port}", f"--rest_api_port={self.rest_port}", "--bind_address=127.0.0.1"]
        self.command = [sys.executable, "-m", "serving.embedded", *arguments, *flags]
        self._env = os.environ | (env or {})

    def __enter__(self) -> Self:
        with self.log.open("ab") as output:
            begin = output.tell()
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=output, stderr=output, env=self._env)
        if self._wait:
            wait_until(lambda: self._is_ready(begin) or self.process.poll() is not None, 60, f"ready: {self.log}")
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}: {self.log.read_text()[-3000:]}")
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _is_ready(self, begin: int) -> bool:
        """By its own word, after `begin` in its log: a port may be somebody else's."""
        return b" I server: Serving " in self.log.read_bytes()[begin:]

    def is_open(self, port: int | None = None) -> bool:
        """Whether the REST port (or `port`) accepts a connection."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port or self.rest_port)) == 0

    def rest(self, method: str, path: str, body: Any = None, timeout: float = 30) -> tuple[int, Any]:
        """Status and document of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=timeout)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data)
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content.startswith(b"{") else content
        finally:
            connection.close()

    def predict(self, name: str, instances: list, timeout: float = 30) -> Any:
        status, document = self.rest("POST", f"/v1/models/{name}:predict", {"instances": instances}, timeout)
        assert status == 200, document
        return document["predictions"]

    def states(self, name: str) -> dict[int, str]:
        """The state of each version of a model."""
        status, document = self.rest("GET", f"/v1/models/{name}")
        if status != 200:
            return {}
        return {int(entry["version"]): entry["state"] for entry in document["model_version_status"]}
