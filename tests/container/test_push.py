"""image and push against real registries: reproducible, by digest, checked; and what a registry may refuse."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

import docker
import pytest

from scripts import up
from scripts.release import embedded, platforms, releases, served
from scripts.release import engine as engines
from scripts.release import registry as registries
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn
from tests.support.fork import INSTANT, TABLES, Fork, run_verb
from tests.support.ports import free_ports

from .building import BASE, contain


def in_registry(port: int, digest: str) -> dict:
    accept = {
        "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/team/model/manifests/{digest}", headers=accept)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def test_pushes_by_digest_and_twice_is_a_no_op(built, registry, engine: docker.DockerClient) -> None:
    port = registry()
    fork = built(port)
    assert "image" not in fork.read("build/release/release.json")
    fork.ok("push")
    image = fork.read("build/release/release.json")["image"]
    assert image["name"] == f"127.0.0.1:{port}/team/model"
    assert in_registry(port, image["digest"])["layers"]
    assert "already there, nothing pushed" in fork.ok("push").err
    assert fork.read("build/release/release.json")["image"] == image
    pulled = engine.images.pull(f"{image['name']}@{image['digest']}")
    assert pulled.id == fork.read("build/image.json")["id"]


LITERT = ("at_most=0.001)]\n", 'at_most=0.001)]\nVARIANTS = [Variant("litert", 1000, "max_absolute_error", 0.01)]\n')


def test_a_litert_file_is_an_artifact_that_refers_to_the_image(built, registry, tmp_path: Path) -> None:
    """By the OCI specification, on a registry that has no referrers API yet: then the client keeps the list."""
    fork = built(registry(), model=INSTANT.replace("Gate, Split", "Gate, Split, Variant").replace(*LITERT))
    assert "1 of 1 LiteRT files pushed" in fork.ok("push").err
    document = fork.read("build/release/release.json")
    (artifact,) = document["artifacts"]
    repository = registries.Repository(artifact["name"])
    manifest, described = repository.manifest(artifact["digest"])
    assert manifest["artifactType"] == "application/vnd.pipeline.litert.v1"
    assert manifest["subject"]["digest"] == document["image"]["digest"]
    (listed,) = repository.referrers(document["image"]["digest"])
    assert listed == described | {"artifactType": manifest["artifactType"], "annotations": manifest["annotations"]}
    (layer,) = manifest["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "instant.tflite"}
    with repository.blob(layer["digest"]) as stream:
        assert stream.read() == (fork.root / "build/release" / artifact["file"]).read_bytes()
    assert "0 of 1 LiteRT files pushed" in fork.ok("push").err
    assert fork.read("build/release/release.json") == document
    assert len(repository.referrers(document["image"]["digest"])) == 1


def test_models_as_an_image_of_their_own(built, registry, engine: docker.DockerClient, monkeypatch) -> None:
    """Pushed by layers, of which another release pushes only those that changed; any engine pulls it, and so does evaluate --against."""
    fork = built(registry(), model=TABLES, volume=True)
    assert "models: 127.0.0.1:" in (pushed := fork.ok("push").err)
    assert ": 3 of 3 layers pushed, 16." in pushed
    assert fork.ok("push").err.count(": already there, nothing pushed") == 2
    first = fork.read("build/release/release.json")
    pulled = engine.images.pull("@".join(first["volume"].values()))
    assert len(pulled.attrs["RootFS"]["Layers"]) == 3
    engine.images.remove(pulled.id, force=True)
    assert engine.images.get(fork.read("build/image.json")["id"]).attrs["Size"] < 100_000  # no model is in the server's
    fork.release(TABLES.replace("[1.0, 2.0]", "[1.0, 3.0]"))
    contain(fork)
    assert ": 2 of 3 layers pushed, 8." in fork.ok("push").err
    second = fork.read("build/release/release.json")
    assert second["volume"]["digest"] != first["volume"]["digest"]
    shutil.rmtree(fork.root / "build/releases")
    monkeypatch.chdir(fork.root)
    for document, answer in ((first, 3.0), (second, 4.0)):
        release = served.with_models(Release(fork.root / "k8s/overlays/dev", document))
        release.check_files()
        assert release.models[0]["examples"][0]["outputs"]["sum"] == [[answer]] * 2


@pytest.fixture
def two(
    released: Fork, registry, engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fork]:
    """A fork for two architectures, whose embedded server is a file that no machine can run."""
    fork = released.copy(tmp_path / "two")
    both = 'server = "embedded"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    fork.edit("pyproject.toml", 'image = "127.0.0.1:1/', f'{both}image = "127.0.0.1:{registry()}/')
    (fork.root / "serving/embedded/access.py").write_text(f"# {fork.root}: an image of its own\n")
    monkeypatch.chdir(fork.root)
    monkeypatch.delenv("SERVING_IMAGE", raising=False)
    names = {architecture: embedded.image(architecture) for architecture in ("amd64", "arm64")}
    alien = b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + b"\xff\xfe"  # for a machine that there is not
    for architecture, name in names.items():
        load(engine, name, architecture, {"usr/bin/tensorflow_model_server": alien})
    yield fork
    note = fork.read("build/image.json")
    for image in (*note["images"].values(), *names.values()):
        engine.images.remove(image, force=True)


def load(engine: docker.DockerClient, name: str, architecture: str, files: dict[str, bytes]) -> None:
    """An image of one layer with those files."""
    layer, archive = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]}
    document = {"architecture": architecture, "os": "linux", "rootfs": rootfs}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file, content in (("config.json", document), ("manifest.json", manifest)):
            engines.add(tar, file, json.dumps(content).encode(), 0)
        engines.add(tar, "layer.tar", layer.getvalue(), 0)
    engine.images.load(archive.getvalue())


def test_one_digest_for_two_architectures(two: Fork, engine: docker.DockerClient) -> None:
    """An index, of which the ledger knows one digest; both images have the same layer of models, and nodes of both may run it."""
    contain(two)
    note = two.read("build/image.json")
    assert note["images"].keys() == {"amd64", "arm64"}
    assert [engine.images.get(image).attrs["Architecture"] for image in note["images"].values()] == ["amd64", "arm64"]
    two.ok("push")
    place = two.read("build/release/release.json")["image"]
    assert place["architectures"] == ["amd64", "arm64"]
    repository = registries.Repository(place["name"])
    index, described = repository.manifest(place["digest"])
    assert described["digest"] == place["digest"]
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    manifests = [repository.manifest(entry["digest"])[0] for entry in index["manifests"]]
    assert len({manifest["layers"][-1]["digest"] for manifest in manifests}) == 1
    assert repository.manifest(two.read("build/release/release.json")["id"][:12])[1]["digest"] == place["digest"]
    assert "already there, nothing pushed" in two.ok("push").err
    two.ok("image")
    assert two.read("build/image.json")["images"] == note["images"]
    two.ok("promote", "dev")
    assert "values: [amd64, arm64]" in (two.root / "k8s/overlays/dev/architectures.yaml").read_text()
    assert not any(platforms.can_run(image) for image in note["images"].values())
    two.edit("pyproject.toml", '["linux/amd64", "linux/arm64"]', '["linux/arm64"]')
    assert "has no image as 127.0.0.1:" in two.run("push").err, "of other architectures than the settings say now"


def test_a_candidate_is_judged_against_the_models_of_the_image(
    built, registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a workflow: an overlay knows the digest, and nothing that was exported is on that machine."""
    fork = built(registry())
    fork.ok("push")
    document, overlay = fork.read("build/release/release.json"), fork.root / "k8s/overlays/dev"
    shutil.rmtree(fork.root / "build/releases")
    monkeypatch.chdir(fork.root)
    release = served.with_models(Release(overlay, document))
    for model in release.models:
        release.check_model(model)
    assert (release.model_folder(release.models[0]) / "saved_model.pb").exists()
    assert served.with_models(Release(overlay, document)) == release  # and is there at once the next time


def test_the_same_commit_in_two_clones_is_the_same_image(built, registry, engine: docker.DockerClient) -> None:
    """Without the engine's cache, which would make this true of any image."""
    port = registry()
    one = built(port, "one")
    clone = one.root.parent / "two"
    subprocess.run(["git", "clone", "-q", one.root, clone], check=True)
    (clone / ".venv").symlink_to(one.root / ".venv")
    first = engine.images.get(one.read("build/image.json")["reference"])
    layers, identifier = first.attrs["RootFS"]["Layers"], first.id
    engine.images.remove(first.id, force=True)
    for verb in ("train", "evaluate", "export", "image"):
        assert run_verb(clone, (verb,), dict(os.environ)).code == 0
    second = engine.images.get(json.loads((clone / "build/image.json").read_text())["reference"])
    assert second.attrs["RootFS"]["Layers"] == layers
    assert second.id == identifier


def test_a_model_costs_its_bytes_and_no_more(built, base: str, engine: docker.DockerClient) -> None:
    fork = built(1)
    image, below = engine.images.get(fork.read("build/image.json")["id"]), engine.images.get(base)
    model = sum(path.stat().st_size for path in (fork.root / "build/release/").rglob("*") if path.is_file())
    assert weight(image) - weight(below) <= model + 64 * 1024


def weight(image) -> int:
    """Of its layers, unpacked: in the size of an image, an engine with a containerd store counts them once more, as they are pushed."""
    return sum(layer["Size"] for layer in image.history())


def test_the_base_is_the_locked_tensorflow_s_server() -> None:
    dockerfile, lock = Path("serving/Dockerfile").read_text(), Path("requirements/serve.txt").read_text()
    server = re.search(r"^FROM tensorflow/serving:(\d+\.\d+)", dockerfile, flags=re.M)
    library = re.search(r"^tensorflow-cpu==(\d+\.\d+)", lock, flags=re.M)
    assert server
    assert library
    assert server[1] == library[1]


def refusal(fork: Fork, *arguments: str) -> str:
    result = fork.run(*arguments)
    assert result.code == 1, result.err
    assert "image" not in fork.read("build/release/release.json")
    assert "\n  next: " in result.err
    return result.err


def test_a_registry_that_does_not_listen(built) -> None:
    error = refusal(built(free_ports()[0]), "push")
    assert "connection refused" in error
    assert "next: see that the registry runs and can be reached, then the same command again" in error


def test_a_registry_that_wants_a_login(built, registry) -> None:
    error = refusal(built(registry("auth")), "push")
    assert re.search("unauthorized|no basic auth credentials", error)
    assert "next: docker login, with an account that may do this" in error


def test_a_registry_that_is_read_only(built, registry) -> None:
    error = refusal(built(registry("readonly")), "push")
    assert "next: name a registry that can be written to: image in [tool.pipeline] of pyproject.toml" in error


def test_a_push_that_is_cut_off_is_taken_up_by_the_next(built, registry) -> None:
    """The connection breaks once part of a layer is there."""
    behind = registry()
    with cutting_proxy(behind) as (port, mend):
        fork = built(port)
        error = refusal(fork, "push")
        assert re.search(
            "EOF|reset|use of closed network connection", error
        )  # the engine's word for it depends on who writes last
        assert "next: see that the registry runs and can be reached, then the same command again" in error
        mend.set()
        fork.ok("push")
    assert in_registry(behind, fork.read("build/release/release.json")["image"]["digest"])["layers"]


@contextlib.contextmanager
def cutting_proxy(behind: int) -> Generator[tuple[int, threading.Event]]:
    """Forwards to the port `behind`, but closes any connection that sends 4 KiB, until the event is set."""
    server, mend = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def copy(source: socket.socket, target: socket.socket, limit: bool) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1024):
                sent += len(data)
                if limit and sent > 4096 and not mend.is_set():
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                upstream = socket.create_connection(("127.0.0.1", behind))
                threading.Thread(target=copy, args=(client, upstream, True), daemon=True).start()
                threading.Thread(target=copy, args=(upstream, client, False), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1], mend
    finally:
        server.close()


def test_refuses_what_is_not_fit_to_push(built, engine: docker.DockerClient) -> None:
    fork = built(1)
    fork.edit("build/image.json", '"tested": true', '"tested": false')
    assert "as it is now was not tested\n  next: ./pipeline image && ./pipeline test-image" in refusal(fork, "push")
    fork.edit("build/release/release.json", '"dirty": false', '"dirty": true')
    assert "was made of a dirty tree: no commit says what is in it" in refusal(fork, "push")
    assert "was not tested" in refusal(fork, "push", "--dirty")
    fork.edit("build/release/release.json", '"dirty": true', '"dirty": false')
    fork.edit("pyproject.toml", "127.0.0.1:1/team/model", "")
    fork.ok("image")
    assert "names no registry: there is no setting image, and no remote origin on GitHub" in refusal(fork, "push")
    reference = fork.read("build/image.json")["reference"]
    engine.images.remove(reference, force=True)
    fork.edit("pyproject.toml", 'image = ""', 'image = "127.0.0.1:1/other"')
    assert "has no image as 127.0.0.1:1/other:" in refusal(fork, "push")


def test_image_refuses(built, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fork = built(1)
    fork.edit("serving/Dockerfile", BASE, "127.0.0.1:1/no/such:1")
    assert "error: the base image 127.0.0.1:1/no/such:1 cannot be pulled: " in refusal(fork, "image")
    fork.edit("serving/Dockerfile", "127.0.0.1:1/no/such:1", BASE)
    next(fork.root.glob("build/release/models/*/*/saved_model.pb")).unlink()
    assert "saved_model.pb is missing" in refusal(fork, "image")


def test_an_image_on_a_stand_in_says_so(built, base: str, engine: docker.DockerClient) -> None:
    fork, name, words = built(1), "localhost/pipeline-test-stand-in:1", "a stand-in in the place of the official server"
    card = fork.root / "build/instant/card.md"
    dockerfile = f"FROM {base}\nLABEL pipeline.stand-in='{words}'\n".encode()
    engine.images.build(fileobj=io.BytesIO(dockerfile), tag=name, rm=True)
    try:
        fork.edit("serving/Dockerfile", base, name)
        assert f", on {words}" in fork.ok("image").err
        assert f"Its image is built on {words}." in card.read_text().splitlines()
        assert f"base image {name} is a stand-in on this machine: {words}" in " ".join(fork.run("doctor").out.split())
        fork.edit("serving/Dockerfile", name, base)
        fork.ok("image")
        assert words not in card.read_text(), "taken back with the next image"
    finally:
        engine.images.remove(name, force=True)


def test_a_base_for_another_machine_is_refused(built, engine: docker.DockerClient, monkeypatch, capsys) -> None:
    """`image` by an error, and `up` by a line; both say what to set."""
    fork, name = built(1), "localhost/pipeline-test-arm:1"
    load(engine, name, "arm64", {"base": b"base"})
    try:
        fork.edit("serving/Dockerfile", BASE, name)
        here = engine.version()["Arch"]
        assert f"the base image {name} is for arm64, and a release is wanted for {here}" in refusal(fork, "image")
        monkeypatch.chdir(fork.root)
        up._contain(releases.read())
        assert 'set server = "embedded" in [tool.pipeline]' in capsys.readouterr().err
    finally:
        engine.images.remove(name, force=True)


ENGINES = {
    "unix:///nowhere/docker.sock": "no Docker engine: there is no unix:///nowhere/docker.sock",
    "tcp://127.0.0.1:1": "the Docker engine at tcp://127.0.0.1:1 does not answer",
}


@pytest.mark.parametrize("host", ENGINES)
def test_an_engine_that_is_not_there_is_a_state_for_up_and_an_error_for_image(
    released: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    fork = released.copy(tmp_path / "fork")
    monkeypatch.setenv("DOCKER_HOST", host)
    image = fork.run("image")
    assert image.code == 1
    assert image.err.startswith(f"error: {ENGINES[host]}\n  next: ")
    doctor = " ".join(fork.run("doctor").out.split())
    assert f"off engine {ENGINES[host]}: no image is built here" in doctor
    try:
        assert f"  image      skipped: {ENGINES[host]}" in fork.ok("up").err
    finally:
        fork.clean_up()


def test_the_engine_is_that_of_the_context_which_docker_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that `docker context` gives its files; DOCKER_HOST comes first, as it does for the command."""
    for name, host in (("here", "unix:///var/run/docker.sock"), ("away", "unix:///nowhere/docker.sock")):
        folder = tmp_path / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        (folder / "meta.json").write_text(json.dumps(document))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "")

    def answers(chosen: str, **variables: str) -> str:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": chosen}))
        for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            monkeypatch.setenv(variable, variables.get(variable, ""))
        try:
            return engines.client().ping() and "yes"
        except YourTurn as error:
            return error.problem

    nowhere = "no Docker engine: there is no unix:///nowhere/docker.sock"
    assert (answers("here"), answers("away")) == ("yes", nowhere)
    assert answers("away", DOCKER_CONTEXT="here") == "yes"
    assert answers("away", DOCKER_HOST="unix:///var/run/docker.sock") == "yes"
    assert answers("gone") == "there is no Docker context of the name in use"
