"""Port-forwards to pods, past every Service: ports on this computer whose connections go through the API server and the kubelet, as with
`kubectl port-forward`, by the WebSocket protocol and in this process.

A forward that breaks says so in `trouble`: its answers, or their absence, then say nothing of the pod.
"""

import select
import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scripts.environments.api import STUMBLES, Api, Unreachable
from scripts.environments.client import Endpoint

if TYPE_CHECKING:
    from websocket import WebSocket

REST, GRPC = 8501, 8500  # of the container
PROTOCOL = "v4.channel.k8s.io"  # a frame begins with its channel: 0 for data, 1 for an error
HANDSHAKE_SECONDS = 10  # for the kubelet to answer
OPEN_SECONDS = 15  # after which no further handshake is begun
CHUNK = 2**16


def endpoint(api: Api, pod: dict[str, Any]) -> Endpoint:
    """A pod as the API server describes it."""
    metadata = pod["metadata"]
    way = Way(api, metadata["namespace"], metadata["name"], pod["spec"].get("nodeName", "of no name"))
    return Endpoint("127.0.0.1", name=metadata["name"], way=way)


class Way:
    """A port-forward to one pod. `trouble` is empty, or says why the pod cannot be reached by it."""

    def __init__(self, api: Api, namespace: str, pod: str, node: str):
        self.api, self.pod, self.node, self.trouble = api, pod, node, ""
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"

    @contextmanager
    def open(self) -> Generator[tuple[int, int]]:
        """The local ports for the pod's REST and gRPC. Every connection to them has a connection of its own to the pod."""
        inside, outside = socket.socketpair()  # closing it tells all threads to end
        with (
            closing(inside),
            socket.create_server(("127.0.0.1", 0)) as rest,
            socket.create_server(("127.0.0.1", 0)) as grpc,
        ):
            thread = threading.Thread(target=self._accept, args=({rest: REST, grpc: GRPC}, inside), daemon=True)
            thread.start()
            try:
                yield rest.getsockname()[1], grpc.getsockname()[1]
            finally:
                outside.close()
                thread.join()

    def _accept(self, listeners: dict[socket.socket, int], end: socket.socket) -> None:
        threads = []
        while end not in (ready := _readable(*listeners, end)):
            for listener in ready:
                arguments = (listener.accept()[0], listeners[listener], end)
                threads.append(threading.Thread(target=self._bridge, args=arguments, daemon=True))
                threads[-1].start()
        for thread in threads:
            thread.join(HANDSHAKE_SECONDS)

    def _bridge(self, local: socket.socket, port: int, end: socket.socket) -> None:
        with local:
            try:
                with closing(self._connect(port)) as remote:
                    _pump(local, remote, end)
            except Unreachable as error:
                self.trouble = str(error)

    def _connect(self, port: int) -> "WebSocket":
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            renewals = self.api.credentials.renewals
            try:
                return _handshake(self.api.credentials, f"{self._path}?ports={port}")
            except Stumbled as error:
                if time.monotonic() > deadline:
                    raise Unreachable(f"no way to it on node {self.node}: {error}") from None
                if error.status == 401:
                    self.api.credentials.renew(renewals)
            time.sleep(0.5)


class Stumbled(Exception):
    """The handshake failed this time; `status` is HTTP's, 0 if there was no answer."""

    def __init__(self, problem: str, status: int = 0):
        super().__init__(problem)
        self.status = status


def _handshake(credentials: Any, path: str) -> "WebSocket":
    """Raises Stumbled if another try may succeed, and Unreachable if none would."""
    import websocket

    configuration = credentials.configuration
    address = urlsplit(configuration.host)
    scheme = {"https": "wss", "http": "ws"}[address.scheme]
    headers = [f"{key}: {value}" for key, value in credentials.header().items()]
    connection = websocket.WebSocket(sslopt=_tls(configuration), skip_utf8_validation=True)
    url = f"{scheme}://{address.netloc}{address.path}{path}"
    proxy = urlsplit(configuration.proxy) if configuration.proxy else None
    options = {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "proxy_type": "http"} if proxy else {}
    try:
        connection.connect(url, timeout=HANDSHAKE_SECONDS, header=headers, subprotocols=[PROTOCOL], **options)
        return connection
    except websocket.WebSocketBadStatusException as error:
        words = " ".join((error.resp_body or b"").decode(errors="replace").split())
        if error.status_code in (*STUMBLES, 401):
            raise Stumbled(words or f"HTTP {error.status_code}", error.status_code) from None
        raise Unreachable("it is gone" if error.status_code == 404 else words or str(error)) from None
    except websocket.WebSocketTimeoutException:
        raise Stumbled(f"its kubelet does not answer within {HANDSHAKE_SECONDS} s") from None
    except (websocket.WebSocketException, OSError) as error:
        raise Stumbled(str(error)) from None


def _tls(configuration: Any) -> dict[str, Any]:
    import ssl

    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE}
    values = {
        "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    options |= {key: value for key, value in values.items() if value}
    return options | ({} if configuration.verify_ssl else {"check_hostname": False})


def _pump(local: socket.socket, remote: "WebSocket", end: socket.socket) -> None:
    """Carries bytes both ways until one side is done. Raises Unreachable if the connection was cut and neither side closed it."""
    import websocket

    local.settimeout(HANDSHAKE_SECONDS)
    channel, begun = remote.sock, set()  # channels whose first frame, which only repeats the port, has come
    assert channel
    while end not in (ready := _readable(local, channel, end)):
        if local in ready and not (data := _read(local)):
            return
        try:
            if local in ready:
                remote.send_binary(b"\0" + data)
            if channel in ready and not _receive(local, remote, begun):
                return
        except (websocket.WebSocketException, OSError) as error:
            raise Unreachable(f"the way to it was cut: {error}") from None


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    """The sockets that have something to read, once at least one has."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    ready = {number for number, _ in poll.poll()}
    return [one for one in sockets if one.fileno() in ready]


def _read(local: socket.socket) -> bytes:
    try:
        return local.recv(CHUNK)
    except OSError:
        return b""


def _receive(local: socket.socket, remote: "WebSocket", begun: set[int]) -> bool:
    """Passes on the frames that have come; False once one side has closed."""
    import websocket

    while True:
        code, frame = remote.recv_data_frame(control_frame=True)
        if code == websocket.ABNF.OPCODE_CLOSE:
            return False
        if code == websocket.ABNF.OPCODE_BINARY:
            channel = frame.data[0]
            if channel in begun and (channel or not _write(local, frame.data[1:])):
                return False  # an error of the kubelet: nobody listens at that port
            begun.add(channel)
        if not getattr(remote.sock, "pending", lambda: 0)():
            return True


def _write(local: socket.socket, data: bytes) -> bool:
    try:
        local.sendall(data)
    except OSError:
        return False
    return True
