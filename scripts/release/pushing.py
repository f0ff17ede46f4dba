"""Pushes the built and tested image to the registry, and notes its place in release.json."""

from typing import Any

from scripts.release import edge, engine, images, platforms, releases, volumes
from scripts.release.releases import Release
from scripts.workspace import actions, console, files
from scripts.workspace.errors import YourTurn


def push(release: Release, dirty: bool = False, preview: bool = False) -> None:
    """Pushes the image of `release`. Raises YourTurn if it was not built and tested, or was made of a dirty tree."""
    note = images.note(release)
    _refuse_unfit(release, note, dirty)
    name, _, tag = note["reference"].rpartition(":")
    name += "-preview" * preview
    places: dict[str, Any] = {}
    with console.stage("push") as stage:
        digests, pushed = _push_images(note["images"], name, tag)
        digest, put = _as_one(name, tag, digests)
        places["image"] = {"name": name, "digest": digest} | _architectures(digests)
        stage.result = f"{name}@{digest}" + ("" if pushed or put else ": already there, nothing pushed")
    if note["volume"]:
        with console.stage("push") as stage:
            volume, words = volumes.push(release, name, f"{tag}-models", list(note["images"]))
            places["volume"] = {"name": name, "digest": volume}
            stage.result = f"models: {name}@{volume}: {words}"
    if release.document["edge"]:
        with console.stage("push") as stage:
            places["artifacts"], count = edge.push(release, name, digest)
            stage.result = f"{count} of {len(places['artifacts'])} LiteRT files pushed"
    document = {key: value for key, value in release.document.items() if key not in ("volume", "artifacts")}
    files.write_json(release.folder / "release.json", document | places)  # last: everything that it names must be there
    if len(digests) > 1:  # the hash alone is the tag that `find` asks for
        platforms.push_index(name, release.name, digests)
    else:
        engine.push_as(name, tag, digest, release.name)
    actions.output(name=name, digest=digest)


def _push_images(images: dict[str, str], name: str, tag: str) -> tuple[dict[str, str], bool]:
    """Pushes the image of each architecture. Returns their digests, and whether any was pushed."""
    done = {}
    for architecture, image in images.items():
        own = f"{tag}-{architecture}" if len(images) > 1 else tag
        with engine.explained(f"the image for {architecture} is gone"):
            engine.client().images.get(image).tag(name, own)
        done[architecture] = engine.push(name, own, lambda line: None)
    return {architecture: digest for architecture, (digest, _) in done.items()}, any(new for _, new in done.values())


def _as_one(name: str, tag: str, digests: dict[str, str]) -> tuple[str, bool]:
    """The digest of the release: of its one image, or of an index, and whether that was put."""
    return platforms.push_index(name, tag, digests) if len(digests) > 1 else (next(iter(digests.values())), False)


def _architectures(digests: dict[str, str]) -> dict[str, list[str]]:
    return {} if list(digests) == releases.ARCHITECTURES else {"architectures": sorted(digests)}


def _refuse_unfit(release: Release, note: dict, dirty: bool) -> None:
    if release.document["dirty"] and not dirty:
        problem = f"release {release.name} was made of a dirty tree: no commit says what is in it"
        raise YourTurn(problem, "commit, then ./pipeline up; or ./pipeline push --dirty, and it stays marked")
    if "/" not in note["reference"]:
        problem = f"{note['reference']} names no registry: there is no setting image, and no remote origin on GitHub"
        raise YourTurn(
            problem, 'set image = "REGISTRY/NAME" in [tool.pipeline] of pyproject.toml, then ./pipeline image'
        )
    with engine.explained("the image is gone"):
        here = engine.client().images.get(note["reference"]).id
    if not note["tested"] or here != note["id"]:
        raise YourTurn(f"{note['reference']} as it is now was not tested", "./pipeline image && ./pipeline test-image")
