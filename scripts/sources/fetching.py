"""From model/sources.json to the files that path() gives, and from what lies there now to model/sources.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.release import identity, sources
from scripts.release.sources import LOCK, SAMPLED, Declared
from scripts.sources import cache, places, transfer
from scripts.sources.transfer import File
from scripts.workspace import files
from scripts.workspace.errors import YourTurn

AS_IT_WAS = "as it was"
TOKENS = "tokens.json"  # in the cache: what a place said of a file → what that was, so that what is unchanged is not brought again


def of_models(modules: Iterable[str]) -> dict[str, Declared]:
    """The sources of the models, by name. Raises YourTurn for two of one name."""
    return sources.of(dict.fromkeys(path for module in modules for path in identity.model_files(module)))


def streams(modules: Iterable[str]) -> dict[str, Declared]:
    """The sources that the models read file by file; one with its sample in its place is none."""
    sampled = sources.sampled()
    return {name: source for name, source in of_models(modules).items() if source.stream and name not in sampled}


def fetch(declared: dict[str, Declared]) -> str:
    """Brings what is missing of the sources, as it was noted, and shows it to the models. Returns what it did, in words."""
    notes = sources.locked()
    if unknown := [name for name in declared if name not in notes]:
        problem = f"{LOCK} does not say what lies in {', '.join(unknown)}"
        raise YourTurn(problem, f"./pipeline fetch --update {' '.join(unknown)}, and commit {LOCK}")
    kept = {name: source for name, source in declared.items() if not source.stream}
    wanted = [file for source in kept.values() for file in _missing(source, notes[source.name])]
    brought = transfer.bring(_once(wanted)) if wanted else []
    for source in kept.values():
        cache.show(source, notes[source.name])
    _note_samples(set(sources.sampled()) - declared.keys())
    count = sum(len(sources.entries(notes[name])) for name in kept)
    all_of_it = f"{count} file{'s' * (count != 1)}"
    size = files.shown_size(sum(one["size"] for one in brought))
    words = f"{len(brought)} of {all_of_it}, {size}" if brought else f"{all_of_it}, all there" if kept else ""
    return ", ".join(filter(None, [words, *(f"{name} as a stream" for name in declared if name not in kept)]))


def _missing(source: Declared, entry: dict[str, Any]) -> list[File]:
    """The files of a source that the cache lacks; its place is asked once for all of them."""
    missing = {path: one for path, one in sources.entries(entry).items() if not cache.has(one)}
    place = places.of(source) if missing else None
    return [File(source, place, path, one["sha256"], one["size"]) for path, one in missing.items()] if place else []


def _once(wanted: list[File]) -> list[File]:
    """The same content, under two paths, is brought once."""
    return list({file.sha256: file for file in wanted}.values())


def sample(declared: dict[str, Declared]) -> str:
    """Shows each model the samples in place of its sources: for a check that may not read these. Such a model is another release."""
    sampled = {name: source for name, source in declared.items() if source.sample}
    for source in sampled.values():
        if not (Path("model") / str(source.sample)).exists():
            problem = f"{source.file}, line {source.line}: the sample model/{source.sample} does not exist"
            raise YourTurn(problem, f"edit {source.file}")
        cache.show_sample(source)
    others = {name: source for name, source in declared.items() if not source.sample}
    words = fetch(others) if others else ""
    _note_samples(set(sources.sampled()) | sampled.keys())
    return ", ".join(filter(None, [f"a sample in the place of {', '.join(sampled)}" if sampled else "", words]))


def _note_samples(names: set[str]) -> None:
    if names:
        files.write_json(SAMPLED, sorted(names))
    else:
        SAMPLED.unlink(missing_ok=True)


def update(declared: dict[str, Declared]) -> dict[str, str]:
    """Notes what lies in the sources now, and brings it; all of them, or none. Returns of each whether it is new, changed, or as it was."""
    notes, tokens = sources.locked(), _tokens()
    found = {name: _look(source, tokens) for name, source in declared.items()}
    files.write_json(cache.folder() / TOKENS, tokens)
    if any(notes.get(name) != entry for name, entry in found.items()):
        files.write(LOCK, json.dumps(notes | found, indent=1, sort_keys=True) + "\n")
    return {
        name: "new" if name not in notes else "changed" if notes[name] != entry else AS_IT_WAS
        for name, entry in found.items()
    }


def _tokens() -> dict[str, dict[str, Any]]:
    try:
        return json.loads((cache.folder() / TOKENS).read_text())
    except (OSError, ValueError):  # it only saves transfers
        return {}


def _look(source: Declared, tokens: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What lies in a source now, as model/sources.json notes it. Only what its place does not say is unchanged is brought."""
    place = places.of(source)
    remote = place.files()
    key = {path: f"{source.url} {path} {one.size} {one.token}" for path, one in remote.items() if one.token}
    known = {path: tokens[key[path]] for path in key if key[path] in tokens}
    known = {path: one for path, one in known.items() if source.stream or cache.has(one)}
    new = [path for path in remote if path not in known]
    wanted = [File(source, place, path, None, remote[path].size, remote[path].token) for path in new]
    known |= dict(zip(new, _read(wanted) if source.stream else transfer.bring(wanted), strict=True))
    tokens |= {key[path]: known[path] for path in key}
    return {"files": known} if source.is_folder else known[""]


def _read(wanted: list[File]) -> Iterator[dict[str, Any]]:
    """What the files are, with one of them on the disk at a time."""
    for file in wanted:
        (one,) = transfer.bring([file])
        cache.drop(one)
        yield one
