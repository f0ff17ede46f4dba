"""The images in an overlay's kustomization.yaml: read, and written so that every other byte of the file stays as it is.

`serving` is the server's; `models` is that of k8s/components/model-volume.
"""

import re
from collections.abc import Mapping
from typing import Any

from scripts.workspace import git
from scripts.workspace.errors import YourTurn

FILES = ["kustomization.yaml", "kustomization.yml", "Kustomization"]  # any of these is one, to kustomize
NAME = "serving"  # of the image in k8s/base
SCALAR = re.compile(r"""'[^']*'|"[^"]*"|[^\s,}\]]+""")


def find(folder: str, revision: str) -> str | None:
    """The name of the kustomization that `revision` has in `folder`; None if it has none."""
    listed = git.ask("ls-tree", "-z", "--name-only", f"{revision}:{folder}").stdout.decode(errors="replace").split("\0")
    return next((name for name in FILES if name in listed), None)


def decoded(content: bytes, source: str) -> str:
    """The text of the file. Raises YourTurn where it is not in UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise YourTurn(
            f"{source} is not in UTF-8: {error.reason} at byte {error.start}", f"save {source} as UTF-8"
        ) from None


def load(text: str, source: str) -> Any:
    """The document, each part knowing its line and column. Raises YourTurn where it is no YAML mapping."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML().load(text)
    except YAMLError as error:
        raise YourTurn(f"{source} is not valid YAML: {' '.join(str(error).split())}", f"edit {source}") from None
    if not isinstance(document, dict):
        raise YourTurn(f"{source} is no mapping", f"edit {source}")
    return document


def image(text: str, source: str, which: str = NAME) -> str | None:
    """NAME@DIGEST of that image; None where no release was promoted yet. A tag is refused."""
    entry = _entry(load(text, source), which)
    if entry is None:
        return None
    if "newTag" in entry or "digest" not in entry:
        problem = f"{source} names the image by a tag, which can mean another image tomorrow"
        raise YourTurn(problem, "./pipeline promote ENV writes its digest")
    return f"{entry.get('newName', which)}@{entry['digest']}"


def with_images(text: str, source: str, images: Mapping[str, tuple[str, str]]) -> str:
    """`text` with those images set to names and digests. Comments, order, quoting and everything else are kept byte for byte."""
    for which, (name, digest) in images.items():
        text = _with_image(text, source, which, name, digest)
    return text


def _with_image(text: str, source: str, which: str, name: str, digest: str) -> str:
    document = load(text, source)
    lines = text.splitlines(keepends=True)
    entry = _entry(document, which)
    if entry is None:
        _insert(lines, document, which, name, digest)
    else:
        _replace(lines, entry, {"newName": name, "digest": digest})
    written = "".join(lines)
    if image(written, source, which) != f"{name}@{digest}":
        raise YourTurn(
            f"{source} has a form in which its image cannot be set", f"write `images` in {source} as a block"
        )
    return written


def _entry(document: Any, which: str) -> Any | None:
    return next((entry for entry in document.get("images") or [] if entry.get("name") == which), None)


def _insert(lines: list[str], document: Any, which: str, name: str, digest: str) -> None:
    """As the first of the `images`, or with that key at the end of the file."""
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    items = document.get("images")
    indent = " " * (items.lc.col if items else 2)
    block = [f"{indent}- name: {which}\n", f"{indent}  newName: {name}\n", f"{indent}  digest: {digest}\n"]
    if items:
        place = items.lc.item(0)[0]
        lines[place:place] = block
    else:
        if "images" in document:  # empty
            del lines[document.lc.key("images")[0]]
        lines += ["images:\n", *block]


def _replace(lines: list[str], entry: Any, values: dict[str, str]) -> None:
    present = {entry.lc.value(key): value for key, value in values.items() if key in entry}
    for number, column in sorted(present, reverse=True):  # from the end: nothing moves that is still to be replaced
        before, after = lines[number][:column], lines[number][column:]
        quote = after[0] if after[0] in "'\"" else ""
        lines[number] = before + SCALAR.sub(f"{quote}{present[number, column]}{quote}", after, count=1)
    missing = [f"{' ' * entry.lc.col}{key}: {value}\n" for key, value in values.items() if key not in entry]
    place = entry.lc.key("name")[0]
    tag = entry.lc.key("newTag")[0] if "newTag" in entry else None
    if tag is not None and lines[tag].lstrip().startswith("newTag:"):
        del lines[tag]
        place -= tag < place
    lines[place + 1 : place + 1] = missing
