"""What a model uses from elsewhere: its SOURCES, by name, and model/sources.json, which says what lies there, by hash.

Content decides. An address is no part of a release's identity: the same bytes from another place make the same release.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.release import parsing
from scripts.workspace import files, settings
from scripts.workspace.errors import YourTurn

LOCK = Path("model/sources.json")
SAMPLED = Path("build/sampled.json")  # names of the sources whose sample stands in their place
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # it becomes the name of a file or of a folder
ARTIFACT = re.compile(
    r"oci://(?P<name>[^/@]+/[^:@]+)(?::(?P<tag>[^:/@]+)|@(?P<digest>sha256:[0-9a-f]+))(?:/(?P<file>.*[^/])?)?"
)
READERS = {f"{prefix}{name}": name for prefix in ("", "model.") for name in ("path", "each")}
FORM = 'SOURCES = {"NAME": Source("s3://bucket/folder/*.parquet")}, of literal strings'


@dataclass(frozen=True)
class Declared:
    """A source as a file in model/ declares it."""

    name: str
    url: str
    sample: str | None  # a file below model/ that may stand in its place
    file: Path
    line: int
    stream: bool = False  # read file by file, for more than the disk holds

    @property
    def is_folder(self) -> bool:
        """Whether the address names many files: by a pattern, or by a slash at its end."""
        return self.url.endswith("/") or bool(set("*?[") & set(self.url))

    @property
    def suffix(self) -> str:
        """Of a file: what tells libraries its format, such as `.csv.gz`."""
        artifact = ARTIFACT.fullmatch(self.url)
        name = (
            (artifact["file"] or "") if artifact else self.url.partition("?")[0]
        )  # a tag, such as v1.2, has no suffix
        return "".join(Path(name.rpartition("/")[2]).suffixes[-2:])


def declared(paths: Iterable[Path]) -> dict[str, Declared]:
    """The sources that files in model/ declare, read without importing them. Raises YourTurn for a defect, or a name with two meanings."""
    found: dict[str, Declared] = {}
    for path in paths:
        for source in _of_file(path):
            other = found.setdefault(source.name, source)
            if (other.url, other.sample, other.stream) != (source.url, source.sample, source.stream):
                problem = f"two sources are called {source.name!r}: in {other.file}, line {other.line}, and in {path}, line {source.line}"
                raise YourTurn(problem, "give one of them another name")
    return found


def is_declaration(statement: ast.stmt) -> bool:
    names = statement.targets if isinstance(statement, ast.Assign) else []
    return len(names) == 1 and isinstance(names[0], ast.Name) and names[0].id == "SOURCES"


def _of_file(path: Path) -> Iterator[Declared]:
    for statement in filter(is_declaration, parsing.statements(path)):
        table = getattr(statement, "value", None)
        if not isinstance(table, ast.Dict):
            raise _malformed(path, statement)
        names = [key.value if isinstance(key, ast.Constant) else None for key in table.keys]
        for name, value in zip(names, table.values, strict=True):
            if names.count(name) > 1:
                problem = f"{path}, line {value.lineno}: two sources are called {name!r}"
                raise YourTurn(problem, "give one of them another name")
            yield _source(path, name, value)


def _source(path: Path, name: Any, value: ast.expr) -> Declared:
    if (
        not isinstance(name, str)
        or not isinstance(value, ast.Call)
        or ast.unparse(value.func).rpartition(".")[2] != "Source"
    ):
        raise _malformed(path, value)
    if not NAME.fullmatch(name):
        raise YourTurn(
            f"{path}, line {value.lineno}: {name!r} is no name for a source: letters, digits, - and _", f"edit {path}"
        )
    try:
        positional = [ast.literal_eval(argument) for argument in value.args]
        given = dict(zip(["url", "sample", "stream"], positional, strict=False)) | {
            str(keyword.arg): ast.literal_eval(keyword.value) for keyword in value.keywords
        }
    except ValueError:
        raise _malformed(path, value) from None
    url, sample, stream = given.pop("url", None), given.pop("sample", None), given.pop("stream", False)
    is_right = isinstance(url, str) and "://" in url and isinstance(sample, str | None) and isinstance(stream, bool)
    if given or not is_right:
        raise _malformed(path, value)
    return Declared(name, url, sample, path, value.lineno, stream)


def _malformed(path: Path, node: ast.AST) -> YourTurn:
    line = getattr(node, "lineno", 1)
    return YourTurn(f"{path}, line {line}: SOURCES cannot be read without running it", f"write it as {FORM}")


def used(path: Path) -> Iterator[tuple[str, str, int]]:
    """The names that a file gives to path() and to each(), with that and their lines."""
    for node in (node for statement in parsing.statements(path) for node in ast.walk(statement)):
        if isinstance(node, ast.Call) and len(node.args) == 1 and (reader := READERS.get(ast.unparse(node.func))):
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield reader, argument.value, node.lineno


def of(paths: Iterable[Path]) -> dict[str, Declared]:
    """The sources of a model: of its file and of what that imports. Raises YourTurn for a name that is used and not declared."""
    paths = list(paths)
    sources = declared(paths)
    for path in paths:
        for reader, name, line in used(path):
            if name not in sources:
                meant = settings.did_you_mean(name, sources) if sources else ""
                raise YourTurn(f"{path}, line {line}: no SOURCES declares {name!r}{meant}", f"edit {path}: {FORM}")
            if sources[name].stream and reader == "path":
                problem = f"{path}, line {line}: {name!r} is a stream, and no file of it is kept"
                raise YourTurn(problem, f'edit {path}: each("{name}") gives its files one by one')
    return sources


def locked() -> dict[str, Any]:
    """What lies in each source, by its name, as `./pipeline fetch --update` noted it.

    A file is {"sha256", "size"}; a folder is {"files": {its path: {"sha256", "size"}}}. Sizes are in bytes.
    """
    try:
        return json.loads(LOCK.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise YourTurn(f"{LOCK} is corrupt: {error}", f"git checkout {LOCK}, or ./pipeline fetch --update") from None


def sampled() -> list[str]:
    return json.loads(SAMPLED.read_text()) if SAMPLED.exists() else []


def parts(paths: Iterable[Path]) -> dict[str, str]:
    """The parts of a release's identity that lie elsewhere; of one that nobody has noted yet, that."""
    notes, samples = locked(), sampled()
    found = {}
    for name, source in of(paths).items():
        if name in samples:
            found[f"a sample of the source {name}"] = files.sha256(Path("model") / str(source.sample))
        else:
            found[f"the source {name}"] = digest(notes[name]) if name in notes else "not noted"
    return found


def stated(paths: Iterable[Path]) -> dict[str, Any]:
    """Where a model's sources lie and what they hold, as a release says it; sizes in bytes."""
    notes, samples = locked(), sampled()
    return {
        name: {"url": source.url, "sha256": digest(notes[name]), "size": size(notes[name])}
        for name, source in of(paths).items()
        if name not in samples
    }


def entries(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The files of a source, as locked() gives it, by their path; of a single file, by the empty path."""
    return entry.get("files", {"": entry})


def size(entry: dict[str, Any]) -> int:
    return sum(one["size"] for one in entries(entry).values())


def digest(entry: dict[str, Any]) -> str:
    """SHA-256 of a source's content: a file's own, or of its files' paths and hashes."""
    if "files" not in entry:
        return entry["sha256"]
    lines = [f"{one['sha256']}  {path}\n" for path, one in sorted(entry["files"].items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
