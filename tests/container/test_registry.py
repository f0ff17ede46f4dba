"""The registry's own API, as LiteRT files and models in a volume take it: with a login, and with words where it refuses."""

import base64
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.release import artifacts
from scripts.release import registry as registries
from scripts.release.sources import Declared
from scripts.sources import fetching
from scripts.workspace.errors import YourTurn
from tests.support.ports import free_ports

LOGIN = base64.b64encode(b"user:secret").decode()
HTPASSWD = "user:$2b$04$4041rRw5TDpkLNqb1BYQieU.32UNFanJg2zHSk1aLF.EMrflCrsEK"  # secret


@pytest.fixture
def guarded(registry: Callable[[str], int], tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a registry that wants a login: by HTTP Basic, or by a token of another server, as ghcr.io does."""
    servers = []

    def start(kind: str) -> int:
        if kind == "basic":
            (tmp_path / "htpasswd").write_text(HTPASSWD)
            return registry("auth")
        port = free_ports()[0]
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", port), issuer(tmp_path)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        realm = f"http://127.0.0.1:{port}/token"
        return registry(f"{{token: {{realm: '{realm}', service: s, issuer: i, rootcertbundle: {tmp_path}/cert.pem}}}}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def issuer(folder: Path) -> type[http.server.BaseHTTPRequestHandler]:
    """A server of tokens, of which the registry knows the certificate."""
    new = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {folder}/key.pem -out {folder}/cert.pem -days 1 -subj /CN=i"
    )
    subprocess.run(new.split(), check=True, capture_output=True)
    certificate = "".join((folder / "cert.pem").read_text().splitlines()[1:-1])

    class Issuer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == f"Basic {LOGIN}"
            self.send_response(200 if allowed else 401)
            self.end_headers()
            if allowed:
                self.wfile.write(json.dumps({"token": token(folder, certificate)}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    return Issuer


def token(folder: Path, certificate: str) -> str:
    access = {"type": "repository", "name": "team/model", "actions": ["pull", "push"]}
    times = {"nbf": int(time.time()) - 60, "exp": int(time.time()) + 60}
    parts = [
        {"typ": "JWT", "alg": "RS256", "x5c": [certificate]},
        {"iss": "i", "aud": "s", "access": [access], **times},
    ]
    signed = ".".join(plain(json.dumps(part).encode()) for part in parts)
    sign = ["openssl", "dgst", "-sha256", "-sign", str(folder / "key.pem")]
    return f"{signed}.{plain(subprocess.run(sign, input=signed.encode(), capture_output=True, check=True).stdout)}"


def plain(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def log_in(port: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker login` leaves it."""
    (folder / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{port}": {"auth": LOGIN}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_a_login_is_that_of_docker(guarded, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, blob = guarded(kind), registries.Text(b"weights")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(YourTurn) as refused:
        registries.Repository(f"127.0.0.1:{port}/team/model").push(blob)
    assert refused.value.remedy.startswith("docker login, with an account that may do this")
    log_in(port, tmp_path, monkeypatch)
    repository = registries.Repository(f"127.0.0.1:{port}/team/model")
    assert repository.push(blob)
    assert not repository.push(blob)
    with repository.blob(blob.digest) as stream:
        assert stream.read() == b"weights"


def test_an_artifact_is_a_source(registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `oras push` leaves it: a layer is a file, by its title."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    name = f"127.0.0.1:{registry()}/team/data"
    repository, blobs = registries.Repository(name), {n: registries.Text(n.encode()) for n in ("a.csv", "north/b.csv")}
    for blob in (*blobs.values(), registries.Text(registries.EMPTY)):
        repository.push(blob)
    layers = [registries.descriptor("text/csv", blob, **{registries.TITLE: n}) for n, blob in blobs.items()]
    config = registries.descriptor("application/vnd.oci.empty.v1+json", registries.Text(registries.EMPTY))
    document = {"schemaVersion": 2, "mediaType": registries.MANIFEST, "config": config, "layers": layers}
    repository.push_manifest(document, "1")
    Path("model").mkdir()
    declared = {"flats": Declared("flats", f"oci://{name}:1/", None, Path("model/x.py"), 1)}
    assert fetching.update(declared) == {"flats": "new"}
    fetching.fetch(declared)
    assert (tmp_path / "build/sources/flats/north/b.csv").read_text() == "north/b.csv"
    fetching.update({"b": (one := Declared("b", f"oci://{name}:1/north/b.csv", None, Path("model/x.py"), 1))})
    fetching.fetch({"b": one})
    assert (tmp_path / "build/sources/b.csv").read_text() == "north/b.csv"
    for rest, words in {"": "holds 2 files", "/c.csv": "is not there; there is: a.csv, north/b.csv"}.items():
        with pytest.raises(YourTurn, match=words):
            fetching.update({"x": Declared("x", f"oci://{name}:1{rest}", None, Path("model/x.py"), 1)})


REFUSED = {
    "a registry that does not listen": ("", "refused", "see that the registry runs and can be reached"),
    "one that is read-only": ("readonly", "", "name a registry that can be written to"),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_refusals_in_words(registry, defect: str) -> None:
    kind, words, remedy = REFUSED[defect]
    port, blob = registry(kind) if kind else free_ports()[0], registries.Text(b"weights")
    with pytest.raises(YourTurn) as refused:
        registries.Repository(f"127.0.0.1:{port}/team/model").push(blob)
    assert refused.value.problem.startswith(f"{blob.digest} cannot be pushed to 127.0.0.1:{port}/team/model: ")
    assert words in refused.value.problem
    assert refused.value.remedy.startswith(remedy)


def test_a_manifest_that_is_not_there(registry) -> None:
    repository = registries.Repository(f"127.0.0.1:{registry()}/team/model")
    assert repository.digest("1") is None
    with pytest.raises(YourTurn, match="manifest unknown"):
        repository.manifest(f"sha256:{'0' * 64}")


def test_an_artifact_comes_as_it_was_pushed_or_not_at_all(registry: Callable[[str], int], tmp_path: Path) -> None:
    repository = registries.Repository(f"127.0.0.1:{registry('')}/trained")
    weights = tmp_path / "weights"
    weights.write_text("1.0")
    digest = artifacts.push(repository, "application/x", {"model/weights": weights}, "one")
    artifacts.pull(repository, digest, tmp_path / "there")
    assert (tmp_path / "there/model/weights").read_text() == "1.0"
    sha256 = registries.File(weights).digest.partition(":")[2]
    (stored,) = tmp_path.glob(f"registry*/docker/registry/v2/blobs/sha256/{sha256[:2]}/{sha256}/data")
    stored.write_text("9.9")
    with pytest.raises(YourTurn, match=r"model/weights of .* came otherwise than its digest says"):
        artifacts.pull(repository, digest, tmp_path / "elsewhere")
