"""Pushes the tested image to the registry and writes its digest into release.json; twice is a no-op

With it go what belongs to it: the LiteRT files, each an artifact of its own, and the models where they are a volume.
"""

import argparse
from typing import Any

from scripts import _console, _edge, _engine, _files, _github, _image, _release, _volume
from scripts._errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dirty", action="store_true", help="also a release whose commit does not hold all that it was made of"
    )
    parser.add_argument(
        "--preview", action="store_true", help="to a repository beside it, NAME-preview: no release can come from there"
    )


def run(dirty: bool, preview: bool = False) -> int:
    release = _release.read()
    note = _image.note(release)
    _refuse_unfit(release, note, dirty)
    name, _, tag = note["reference"].rpartition(":")
    if preview:
        name = f"{name}-preview"
        _engine.client().images.get(note["reference"]).tag(name, tag)
    places: dict[str, Any] = {}
    with _console.stage("push") as stage:
        digest, pushed = _engine.push(name, tag, lambda line: None)
        places["image"] = {"name": name, "digest": digest}
        stage.result = f"{name}@{digest}" + ("" if pushed else ": already there, nothing pushed")
    if note["volume"]:
        with _console.stage("push") as stage:
            volume, words = _volume.push(release, name, f"{tag}-models", _engine.architecture(note["id"]))
            places["volume"] = {"name": name, "digest": volume}
            stage.result = f"models: {name}@{volume}: {words}"
    if release.document["edge"]:
        with _console.stage("push") as stage:
            places["artifacts"], count = _edge.push(release, name, digest)
            stage.result = f"{count} of {len(places['artifacts'])} LiteRT files pushed"
    document = {key: value for key, value in release.document.items() if key not in ("volume", "artifacts")}
    _files.write_json(release.folder / "release.json", document | places)  # last: what it names is there
    _engine.push_as(f"{name}@{digest}", name, release.name)  # by its hash alone: so `find` asks for it
    _github.output(name=name, digest=digest)
    return 0


def _refuse_unfit(release: _release.Release, note: dict, dirty: bool) -> None:
    if release.document["dirty"] and not dirty:
        problem = f"release {release.name} was made of a dirty tree: no commit says what is in it"
        raise YourTurn(problem, "commit, then ./pipeline up; or ./pipeline push --dirty, and it stays marked")
    if "/" not in note["reference"]:
        problem = f"{note['reference']} names no registry: there is no setting image, and no remote origin on GitHub"
        raise YourTurn(
            problem, 'set image = "REGISTRY/NAME" in [tool.pipeline] of pyproject.toml, then ./pipeline image'
        )
    with _engine.explained("the image is gone"):
        here = _engine.client().images.get(note["reference"]).id
    if not note["tested"] or here != note["id"]:
        raise YourTurn(f"{note['reference']} as it is now was not tested", "./pipeline image && ./pipeline test-image")
