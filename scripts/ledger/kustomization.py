"""The images in an overlay's kustomization: read, and written without a change to any other byte of the file.

`serving` is the server's image; `models` is that of k8s/components/model-volume. Keys match in upper and lower case, as in kustomize.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.ledger import editing
from scripts.workspace import git
from scripts.workspace.errors import YourTurn

FILES = ["kustomization.yaml", "kustomization.yml", "Kustomization"]  # the names that kustomize accepts
NAME = "serving"  # of the image in k8s/base
TAGS = ["newTag", "tagSuffix"]  # fields that conflict with a digest


def find(folder: str, revision: str) -> str | None:
    """The name of the kustomization that `revision` has in `folder`; None if it has none."""
    listed = git.ask("ls-tree", "-z", "--name-only", f"{revision}:{folder}").stdout.decode(errors="replace").split("\0")
    return next((name for name in FILES if name in listed), None)


def decoded(content: bytes, source: str) -> str:
    """The text of the file. Raises YourTurn where it is not in UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        problem = f"{source} is not in UTF-8: {error.reason} at byte {error.start}"
        raise YourTurn(problem, f"save {source} as UTF-8") from None


def load(text: str, source: str) -> dict[str, Any]:
    """The document. Raises YourTurn where it is no YAML mapping."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise YourTurn(f"{source} is not valid YAML: {' '.join(str(error).split())}", f"edit {source}") from None
    if not isinstance(document, dict):
        raise YourTurn(f"{source} is no mapping", f"edit {source}")
    return document


def image(text: str, source: str, which: str = NAME) -> str | None:
    """NAME@DIGEST of that image; None before the first promotion. Raises YourTurn for a tag."""
    entry = _entry(_images(load(text, source), source), which, source)[1]
    if entry is None:
        return None
    if any(entry.get(tag.lower()) for tag in TAGS) or not entry.get("digest"):
        problem = f"{source} names the image by a tag, which can mean another image tomorrow"
        raise YourTurn(problem, f"./pipeline promote {Path(source).parent.name}, which writes its digest")
    return f"{entry.get('newname') or which}@{entry['digest']}"


def with_images(text: str, source: str, images: Mapping[str, tuple[str, str]]) -> str:
    """`text` with those images set to names and digests. Comments, order, quoting and everything else are kept byte for byte."""
    for which, (name, digest) in images.items():
        text = _with_image(text, source, which, name, digest)
    return text


def with_component(text: str, source: str, component: str) -> str:
    """`text` with `component` added, unless it is there already; for rendering, not for people to read."""
    document = load(text, source)
    others = [name for name in document.get("components") or [] if name != component]
    return json.dumps(document | {"components": [*others, component]})


def _with_image(text: str, source: str, which: str, name: str, digest: str) -> str:
    before = load(text, source)
    place, entry = _entry(_images(before, source), which, source)
    fields = {"newName": name, "digest": digest}
    try:
        if entry is None:
            written = editing.with_item(text, "images", {"name": which} | fields)
        else:
            written = editing.with_fields(text, "images", place, fields, TAGS)
        after = load(written, source)
        good = image(written, source, which) == f"{name}@{digest}"
    except (YourTurn, editing.Impossible):
        raise _form(source) from None
    if not good or _rest(after, which, source) != _rest(before, which, source):
        raise _form(source)
    return written


def _form(source: str) -> YourTurn:
    problem = f"{source} has a form in which its image cannot be set without changing anything else"
    return YourTurn(problem, f"write `images` in {source} as a list of plain entries: no aliases, no tags of YAML")


def _images(document: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """The entries of `images` with their keys in lower case."""
    found = next((value for key, value in document.items() if str(key).lower() == "images"), None)
    if not isinstance(found, list | None) or not all(isinstance(entry, dict) for entry in found or []):
        problem = f"`images` in {source} is no list of entries, which is all that kustomize takes"
        raise YourTurn(problem, f"edit {source}: images: [{{name: {NAME}, newName: …, digest: …}}]")
    return [{str(key).lower(): value for key, value in entry.items()} for entry in found or []]


def _entry(images: list[dict[str, Any]], which: str, source: str) -> tuple[int, dict[str, Any] | None]:
    """The place and the entry of that image; None if there is none."""
    found = [(place, entry) for place, entry in enumerate(images) if entry.get("name") == which]
    if len(found) > 1:
        raise YourTurn(
            f"{source} names the image {which!r} {len(found)} times", f"edit {source}: one entry of `images`"
        )
    return found[0] if found else (0, None)


def _rest(document: dict[str, Any], which: str, source: str) -> Any:
    """The document without the fields that this module sets."""
    ours = {"newname", "digest", *(tag.lower() for tag in TAGS)}
    entries = [
        {key: value for key, value in entry.items() if key not in ours} if entry.get("name") == which else entry
        for entry in _images(document, source)
    ]
    others = {key: value for key, value in document.items() if str(key).lower() != "images"}
    return others, [entry for entry in entries if entry != {"name": which}]
