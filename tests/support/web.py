"""A server of HTTP or HTTPS on loopback that can be made to misbehave: what it was asked for, and what it gives."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Web(ThreadingHTTPServer):
    """Serves `files` by path. `cut` ends so many answers after half of their bytes; `ranges` says whether it knows them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cut, self.ranges, self.status = 0, True, 0
        self.sent: list[tuple[str, int]] = []  # path and first byte of each answer
        self.refused = 0  # requests to read

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, send: bool) -> None:
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None or self.server.status:
            self.server.refused += send
            self.send_error(self.server.status or 404)
            return
        range_ = self.headers.get("Range") if self.server.ranges else None
        begin, _, last = (range_ or "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(begin) : int(last) + 1 if last else None]
        self.send_response(206 if range_ else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes" if self.server.ranges else "none")
        if range_:
            self.send_header("Content-Range", f"bytes {begin}-{int(begin) + len(part) - 1}/{len(content)}")
        self.end_headers()
        if send:
            self.server.sent.append((self.path.lstrip("/"), int(begin)))
            if self.server.cut:
                self.server.cut -= 1
                self.wfile.write(part[: len(part) // 2])
                self.close_connection = True
            else:
                self.wfile.write(part)


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Web]:
    """With `certificate`, a file with a key and a certificate, by HTTPS."""
    server = Web()
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    file = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", str(folder / "public.pem")]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "public.pem").read_text())
    return file
