"""The release as an image: its name, its build context, and the note of what was built and tested."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.release import embedded, engine, platforms
from scripts.release.releases import Release
from scripts.workspace import console, files, remote, settings
from scripts.workspace.errors import YourTurn

NOTE = Path("build/image.json")  # {"release", "reference", "id", "images": {architecture: id}, "volume", "tested"}
CONFIGS = ["batching.config", "monitoring.config"]
DOCKERFILE = Path("serving/Dockerfile")
BASE = re.compile(r"^FROM (\S+)", re.M)
CARD = "Its image is built on"
STAND_IN = "pipeline.stand-in"  # a label that describes an image with the official image's name, built where that cannot be pulled


def name() -> str:
    """Registry and repository: from the settings, else the GitHub repository's own package, else this folder's name alone."""
    if configured := settings.read().image:
        return configured
    if repository := remote.on_github():
        return f"ghcr.io/{repository}".lower()
    return re.sub(r"[^a-z0-9._-]+", "-", Path.cwd().name.lower()).strip("-._") or "release"


def reference(release: Release) -> str:
    return f"{name()}:{release.label}"


def build(release: Release) -> None:
    """Builds the image of `release`, notes it and says so."""
    with console.stage("image") as stage:
        stage.result = _build(release)


def _build(release: Release) -> str:
    built = {architecture: _build_for(release, architecture) for architecture in platforms.chosen()}
    own, tag = built.get(platforms.here(), next(iter(built.values()))), reference(release)
    with engine.explained(f"the image {tag} cannot be tagged"):
        engine.client().images.get(own).tag(name(), release.label)
    note = {"release": release.id, "reference": tag, "id": own, "images": built}
    files.write_json(NOTE, note | {"volume": has_volume(), "tested": False})
    words = stand_in(own)
    _tell_cards(release, words)
    several = f", for {' and '.join(built)}" if len(built) > 1 else ""
    return f"{tag}{several}, on {words}" if words else f"{tag}{several}"


def _build_for(release: Release, architecture: str) -> str:
    find_base(architecture)
    foreign = None if architecture == platforms.here() else f"linux/{architecture}"
    tag = f"{reference(release)}-{architecture}" if foreign else reference(release)
    with engine.context() as (tar, file):
        _fill(tar, release, architecture)
        tar.close()
        file.seek(0)
        return engine.build(file, tag, labels(release), release.version, _say_step, foreign)


def base(architecture: str | None = None) -> str:
    """The image below a release: SERVING_IMAGE in the environment, else the embedded server's, or the one that serving/Dockerfile names."""
    if given := os.environ.get("SERVING_IMAGE"):
        return given
    if embedded.is_chosen():
        return embedded.image(architecture or platforms.here())
    return BASE.findall(DOCKERFILE.read_text())[0]


def stand_in(image: str) -> str:
    """The description of `image` if it stands in for the official image; empty if it does not, or is not here."""
    found = engine.find(image)
    return found.labels.get(STAND_IN, "") if found else ""


def _tell_cards(release: Release, words: str) -> None:
    """Notes on each local model card that the image is not built on the official server; without `words`, removes that note."""
    for module in {model["module"] for model in release.models}:
        card = Path(f"build/{module}/card.md")
        if card.exists():
            lines = [line for line in card.read_text().splitlines() if not line.startswith(CARD)]
            files.write(card, "\n".join([*lines, *([f"{CARD} {words}."] if words else []), ""]))


def find_base(architecture: str | None = None) -> None:
    """Pulls or builds the base image, for the engine's own architecture if none is named, unless it is here.

    Raises YourTurn if it is not available, or is for another architecture.
    """
    architecture = architecture or platforms.here()
    name = base(architecture)
    if embedded.is_chosen() and name == embedded.image(architecture) and not engine.find(name):
        console.say(f"  {name}: built once for this server, in minutes")
        embedded.build(architecture)
    with engine.explained(f"the base image {name} cannot be pulled"):
        image = engine.find(name) or engine.client().images.pull(name)
    if (there := image.attrs["Architecture"]) != architecture:
        problem = f"the base image {name} is for {there}, and a release is wanted for {architecture}"
        raise YourTurn(problem, f"{engine.EMBEDDED}, or let SERVING_IMAGE name a base image for {architecture}")


def _fill(tar, release: Release, architecture: str) -> None:
    """Fills the context: the Dockerfile, and /models, which is empty if the models are a volume."""
    seconds = release.version
    dockerfile = BASE.sub(f"FROM {base(architecture)}", DOCKERFILE.read_text(), count=1)
    engine.add(tar, "Dockerfile", dockerfile.encode(), seconds)
    for folder in ("rootfs", "rootfs/models"):
        engine.add_folder(tar, folder, seconds)
    for name, file in [] if has_volume() else content(release):
        if file is None:
            engine.add_folder(tar, f"rootfs/models/{name}", seconds)
        else:
            engine.add(tar, f"rootfs/models/{name}", file, seconds)


def content(release: Release) -> Iterator[tuple[str, Path | bytes | None]]:
    """The entries of /models: name and content; None is a folder."""
    yield "models.config", _models_config(release).encode()
    yield "release.json", json.dumps(release.made, indent=2, sort_keys=True).encode()
    for config in CONFIGS:
        yield config, Path("serving") / config
    root = release.folder / "models"
    for path in sorted(root.rglob("*")):
        yield str(path.relative_to(root)), None if path.is_dir() else path


def has_volume() -> bool:
    """Whether the models are an image of their own, mounted as a volume."""
    return settings.read().model_volume


def _models_config(release: Release) -> str:
    entries = [
        f'  config {{ name: "{m["name"]}" base_path: "/models/{m["name"]}" model_platform: "tensorflow" }}'
        for m in release.models
    ]
    return "\n".join(["model_config_list {", *entries, "}", ""])


def labels(release: Release) -> dict[str, str]:
    labels = {
        "org.opencontainers.image.created": release.document["created"],
        "org.opencontainers.image.revision": release.document["commit"] or "",
        "org.opencontainers.image.source": remote.source(),
        "org.opencontainers.image.version": release.label,
        "pipeline.release": release.id,
    }
    return {key: value for key, value in labels.items() if value}


def _say_step(line: str) -> None:
    if line.startswith(("Step ", "Pulling ", "Status: ")):
        console.say(f"  {line}")


def note(release: Release) -> dict[str, Any]:
    """The note of the image built for `release`. Raises YourTurn if there is none."""
    try:
        note = json.loads(NOTE.read_text())
    except (OSError, ValueError):
        note = {}
    built = list(note.get("images", []))
    if (
        note.get("release") != release.id
        or note.get("reference") != reference(release)
        or note.get("volume") != has_volume()
        or not built
        or platforms.named() not in ([], built)
    ):
        raise YourTurn(f"release {release.name} has no image as {reference(release)}", "./pipeline image")
    return note
