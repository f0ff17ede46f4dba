"""The Docker engine: one client, failures in words, a reproducible build, and a checked push."""

import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from scripts.release import oci
from scripts.workspace.errors import YourTurn


def client():
    """A client of the engine that the `docker` command would use. Raises YourTurn if the engine does not answer."""
    import docker.errors

    host = _follow_context()
    try:
        engine = docker.from_env(timeout=600)
        engine.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise _unreachable(host, str(error)) from None
    return engine


def _follow_context() -> str:
    """The engine's address, in docker's own order: DOCKER_HOST, else the chosen context, for this process and its children.

    Rootless Docker, Docker Desktop, Colima and Rancher Desktop each make a context, and no socket at the usual place. The library ignores
    an unknown context, and would use another engine: here it is an error.
    """
    from docker.context import ContextAPI

    if host := os.environ.get("DOCKER_HOST"):
        return host
    name = os.environ.get("DOCKER_CONTEXT")
    context = ContextAPI.get_context(name)
    if not context:
        problem = f"there is no Docker context {name or 'of the name in use'}"
        raise YourTurn(problem, "docker context ls, and docker context use")
    if context.Name != "default":
        os.environ["DOCKER_HOST"] = context.Host
    return context.Host


def _unreachable(host: str, text: str) -> YourTurn:
    if "Permission" in text:
        return YourTurn(
            f"the Docker engine at {host} does not let you in", "sudo usermod -aG docker $USER, then log in again"
        )
    if "No such file" in text or "FileNotFound" in text:
        return YourTurn(f"no Docker engine: there is no {host}", "install Docker and start it, or set DOCKER_HOST")
    if "refused" in text:
        return YourTurn(
            f"the Docker engine at {host} does not answer", "start it (systemctl start docker), or set DOCKER_HOST"
        )
    return YourTurn(f"the Docker engine at {host} cannot be used: {text}", "look at its log, or set DOCKER_HOST")


@contextmanager
def explained(doing: str) -> Generator[None]:
    """Turns the engine's errors within the block into YourTurn."""
    import docker.errors

    try:
        yield
    except docker.errors.DockerException as error:
        raise refused(doing, getattr(error, "explanation", None) or str(error)) from error


AGAIN = "then the same command again"
EMBEDDED = 'set server = "embedded" in [tool.pipeline] of pyproject.toml: that server runs on 64-bit Arm, too'
REMEDIES = {  # words of an engine's or a registry's message → the remedy
    r"docker-credential-\S+ not installed": f"install that program, or take it out of ~/.docker/config.json, {AGAIN}",
    r"no space left": f"docker system prune, {AGAIN}",
    r"unauthorized|denied|authentication required|no basic auth": f"docker login, with an account that may do this, {AGAIN}",
    r"refused|no such host|reset|EOF|timeout|closed network connection": f"see that the registry runs and can be reached, {AGAIN}",
    r"no matching manifest|no match for platform": EMBEDDED,
    r"not found|manifest unknown": "see that the name is right; SERVING_IMAGE names the base image",
    r"read.?only|unsupported|not allowed": "name a registry that can be written to: image in [tool.pipeline] of pyproject.toml",
    r"HTTP response to HTTPS client": f"allow it as an insecure registry in the engine's settings, {AGAIN}",
}


def refused(doing: str, text: str) -> YourTurn:
    remedy = next(
        (remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, text, re.I)), "look at the engine's log"
    )
    return YourTurn(f"{doing}: {text.strip()}", remedy)


def find(name: str):
    """The image that the engine has under `name`; None if it has none."""
    import docker.errors

    try:
        return client().images.get(name)
    except docker.errors.ImageNotFound:
        return None


def build(
    context: IO[bytes],
    tag: str,
    labels: dict[str, str],
    seconds: int,
    show: Callable[[str], None],
    platform: str | None = None,
) -> str:
    """Builds the tar `context`, dated `seconds`, and tags it; for the engine's own platform if `platform` says no other. Returns its id."""
    engine = client()
    with explained(f"the image {tag} cannot be built"):
        steps = engine.api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            labels=labels,
            platform=platform,
        )
        _follow(steps, f"the image {tag} cannot be built", show)
        return _dated(engine, engine.images.get(tag), tag, seconds)


def _follow(messages: Iterable[dict[str, Any]], doing: str, show: Callable[[str], None]) -> list[dict[str, Any]]:
    """Shows a stream of the engine's progress; raises YourTurn at an error in it. Returns its auxiliary messages."""
    aux = []
    for message in messages:
        if "error" in message:
            raise refused(doing, message["error"])
        if "aux" in message:
            aux.append(message["aux"])
        show((message.get("stream") or message.get("status") or "").strip())
    return aux


def _dated(engine, image, tag: str, seconds: int) -> str:
    """The image with the release's time in place of the present time, so that its digest is the same whenever it is built.

    Only its configuration is loaded, for layers that the engine has: an engine with unpacked layers takes a Docker archive for that, one
    with a containerd store an OCI layout, and Podman one of the layers as it has unpacked them. In any other it stays as it was built.
    """
    import docker.errors

    diffs = image.attrs["RootFS"]["Layers"]
    config = json.dumps(_configuration(image.attrs, seconds), sort_keys=True).encode()
    layers = [f"{number}/layer.tar" for number in range(len(diffs))]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": layers}]
    try:
        return _loaded(engine, {"config.json": config, "manifest.json": json.dumps(manifest).encode()})
    except docker.errors.DockerException:
        pass
    manifest = image.attrs.get("Descriptor", {}).get("digest", "")
    kept = oci.layers(engine.api.get_image(tag), manifest) or oci.unpacked(diffs)
    try:
        return _loaded(engine, oci.layout(config, kept, tag))
    except docker.errors.DockerException:
        return image.id


def _configuration(attributes: dict[str, Any], seconds: int) -> dict[str, Any]:
    """The image's configuration, dated `seconds`."""
    import datetime

    created = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat().replace("+00:00", "Z")
    config = {
        key: value
        for key, value in attributes["Config"].items()
        if key not in ("Hostname", "Domainname", "Image") and value
    }
    return {
        "architecture": attributes["Architecture"],
        "os": attributes["Os"],
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": attributes["RootFS"]["Layers"]},
        "history": [{"created": created, "created_by": "./pipeline image"} for _ in attributes["RootFS"]["Layers"]],
    }


def _loaded(engine, entries: dict[str, bytes]) -> str:
    """Loads an archive of these files. Returns the image's id."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in entries.items():
            add(tar, name, content, 0)
    return engine.images.load(archive.getvalue())[0].id


def add(tar: tarfile.TarFile, name: str, content: bytes | Path, seconds: int) -> None:
    """Adds a file to a context: owned by root, readable by all, dated `seconds`, so that every build is the same."""
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = seconds, 0o644
    if isinstance(content, Path):
        entry.size = content.stat().st_size
        with content.open("rb") as file:
            tar.addfile(entry, file)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def add_folder(tar: tarfile.TarFile, name: str, seconds: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mtime, entry.mode = tarfile.DIRTYPE, seconds, 0o755
    tar.addfile(entry)


@contextmanager
def context() -> Generator[tuple[tarfile.TarFile, IO[bytes]]]:
    """A tar to fill, on disk since a model may be larger than memory, and the file that holds it."""
    with tempfile.TemporaryFile() as file, tarfile.open(fileobj=file, mode="w") as tar:
        yield tar, file


def push(name: str, tag: str, show: Callable[[str], None]) -> tuple[str, bool]:
    """Pushes `name:tag` unless the registry has that very image. Returns its digest there and whether it was pushed."""
    engine, doing = client(), f"{name}:{tag} cannot be pushed"
    with explained(doing):
        image = engine.images.get(f"{name}:{tag}")
        digest = digest_in_registry(f"{name}:{tag}")
        if digest and f"{name}@{digest}" in image.attrs["RepoDigests"]:
            return digest, False
        aux = _follow(engine.api.push(name, tag=tag, stream=True, decode=True), doing, show)
        told = (message["Digest"] for message in aux if "Digest" in message)  # Docker 29 does not tell
        digest = next(told, None) or digest_in_registry(f"{name}:{tag}") or ""
        if digest_in_registry(f"{name}@{digest}") != digest:
            raise YourTurn(f"the registry took {name}@{digest} and does not have it", "./pipeline push once more")
        return digest, True


def push_as(name: str, pushed: str, digest: str, tag: str) -> None:
    """Adds a tag to `name`:`pushed`, which is `digest` in the registry; only the manifest is sent."""
    if digest_in_registry(f"{name}:{tag}") == digest:
        return
    engine, doing = client(), f"{name}:{tag} cannot be pushed"
    with explained(doing):
        engine.images.get(f"{name}:{pushed}").tag(name, tag)
        _follow(engine.api.push(name, tag=tag, stream=True, decode=True), doing, lambda line: None)
        engine.images.remove(f"{name}:{tag}")


def digest_in_registry(reference: str) -> str | None:
    """The digest of `reference` (a tag or a digest) in the registry; None if the registry does not have it."""
    import docker.errors

    from scripts.release import registry

    try:
        return client().api.inspect_distribution(reference)["Descriptor"]["digest"]
    except docker.errors.APIError as error:
        if error.explanation == "Not Found":  # the request itself: Podman has none like it
            name, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
            return registry.Repository(name).digest(tag)
        if re.search(r"not found|manifest unknown|name unknown|no such", str(error), re.I):
            return None
        raise
