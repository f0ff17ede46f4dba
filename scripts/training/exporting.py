"""Writes the release of judged models: build/NAME/ → build/releases/VERSION-ID/."""

import datetime
import errno
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scripts.release import golden, identity, releases, sources
from scripts.reports import card
from scripts.training import answers, batches, fitting, models, networks, saved_model, signatures, variants
from scripts.training.faults import mistake
from scripts.workspace import checkout, files
from scripts.workspace.checkout import Checkout
from scripts.workspace.errors import YourTurn

HASHED = 4096  # examples at a time: hashing must not copy the whole data


def export(modules: list[str]) -> str:
    """Writes the release of `modules` into the store, completely or not at all, and points build/release at it."""
    name, head = identity.of_release(modules), checkout.read()
    target = releases.STORE / f"{head.seconds}-{name[:12]}"
    if not (target / "release.json").exists():
        try:
            with files.directory(target) as folder:
                document = _document(name, head)
                for module in modules:
                    _export_model(module, folder, document)
                files.write_json(folder / "release.json", document)
                releases.read(folder)  # every reader must accept the written release
        except Exception as error:
            raise _explained(error) from error
    _note_comparisons(target / "release.json", modules)
    for module in modules:
        card.name_release(models.folder(module), name)
    files.link(releases.CANDIDATE, target)
    return f"{target}, {files.size(target) / 1024:.0f} KiB"


def _note_comparisons(path: Path, modules: list[str]) -> None:
    """Notes the results of `evaluate --against`. They are not part of the release's identity, so they may be added later."""
    try:
        evaluations = [models.record(module, "evaluation.json", "evaluate") for module in modules]
    except YourTurn:  # the release was exported before, and its evaluation is gone
        return
    found = [comparison for evaluation in evaluations for comparison in evaluation["against"]]
    document = json.loads(path.read_text())
    if document.get("against", []) != found:
        files.write_json(path, document | {"against": found})


def _document(name: str, head: Checkout) -> dict[str, Any]:
    import tensorflow as tf

    created = datetime.datetime.fromtimestamp(head.seconds, datetime.UTC).isoformat()
    return {
        "format": 1,
        "id": name,
        "version": head.seconds,
        "commit": head.commit,
        "dirty": head.dirty,
        "created": created,
        "tensorflow": tf.__version__,
        "models": [],
        "edge": [],
    }


def _export_model(module: str, folder: Path, document: dict[str, Any]) -> None:
    """Writes the model and its variants below `folder`, and adds them to `document`."""
    model, evaluation = fitting.prepare(module), models.record(module, "evaluation.json", "evaluate")
    models.record(module, "history.json", "train")
    if not evaluation["passed"]:
        raise YourTurn(
            f"{module} did not pass its gates: it is not exported", f"change model/{module}.py, then ./pipeline up"
        )
    stated = sources.stated(identity.model_files(module))
    common = {"module": module, "data": _hash_data(model)} | ({"sources": stated} if stated else {})
    common |= {"labels": model.LABELS, "signature_number": model.SIGNATURE}

    def servable(name: str, form: Callable) -> dict[str, Any]:
        return saved_model.write(name, module, model, form, folder / "models" / name / str(document["version"]))

    entry = servable(model.NAME, saved_model.original)
    document["models"].append(entry | common | _judged(evaluation))
    for variant in evaluation["variants"]:
        if variant["technique"] == "litert":
            document["edge"].append(_export_litert(module, model, folder, entry) | common | _judged(variant))
            continue
        compressed = servable(f"{model.NAME}_{variant['technique']}", variants.int8)
        _refuse_larger(module, compressed, entry)
        document["models"].append(compressed | common | _judged(variant) | {"variant_of": model.NAME})


def _judged(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "metrics": {name: value for name, value in evaluation["metrics"].items() if value is not None},
        "gates": [{key: gate[key] for key in ("metric", "bound", "value")} for gate in evaluation["gates"]],
    }


def _refuse_larger(module: str, compressed: dict[str, Any], original: dict[str, Any]) -> None:
    """Refuses a variant larger than its original: the operations that restore the weights may take more than int8 saves."""
    sizes = [entry["size"] for entry in (compressed, original)]
    if sizes[0] >= sizes[1]:
        is_, was = (f"{size / 1024:.0f} KiB" for size in sizes)
        problem = f"model/{module}.py: {compressed['name']} is {is_} in all, and the original only {was}"
        raise YourTurn(problem, f"remove that variant from model/{module}.py, then ./pipeline up")


def _export_litert(module: str, model: ModuleType, folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The LiteRT file that evaluate judged, once it answers the golden examples as the served model does."""
    file = f"edge/{model.NAME}.tflite"
    content = (models.folder(module) / f"{model.NAME}.tflite").read_bytes()
    default = signatures.of_model(model, networks.load(model, models.state(module)))[signatures.DEFAULT]
    ask = variants.of_litert(model, default, content)
    for number, example in enumerate(entry["examples"], 1):
        (tensor,) = answers.tensors(example["inputs"], entry["signature"]).values()
        given = {name: value.tolist() for name, value in ask(tensor).items()}
        right = {name: example["outputs"][name] for name in given}
        if found := golden.difference(right, given, example["tolerance"]):
            raise mistake(model, f"its LiteRT file answers example {number} wrongly: {found}; remove that variant")
    (folder / "edge").mkdir(exist_ok=True)
    (folder / file).write_bytes(content)
    return {"name": model.NAME, "file": file, "sha256": files.sha256(folder / file), "size": len(content)}


def _hash_data(model: ModuleType) -> str:
    """SHA-256 of the held-out data, and of training data in memory; a training stream, which may be endless, is not read."""
    data, digest = model.data(), hashlib.sha256()
    if not batches.is_stream(data.train.inputs):
        _update(digest, [batches.plain(part) for part in vars(data.train).values()])
    for batch in batches.read(data.held_out, is_batch=lambda inputs: True, size=HASHED):
        _update(digest, list(batch))
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    """Hashes values, not addresses: an object array counts by its elements. No large array is copied whole."""
    if isinstance(value, dict):
        _update(digest, [[name, value[name]] for name in sorted(value)])
    elif isinstance(value, np.ndarray) and value.dtype == object:
        _update(digest, [value.shape, *value.ravel()])
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)} ".encode())
        for part in value:
            _update(digest, part)
    elif isinstance(value, np.ndarray) and value.ndim:
        digest.update(f"{value.dtype} {value.shape} ".encode())
        for start in range(0, len(value), HASHED):
            digest.update(value[start : start + HASHED].tobytes())
    else:
        content = pickle.dumps(value)
        digest.update(f"{len(content)} ".encode() + content)


def _explained(error: Exception) -> Exception:
    """The error in words for a full disk, which is an OSError or one of several TensorFlow errors."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return YourTurn(
            "the disk is full: nothing was exported, the releases before are untouched",
            "free some space below build/, then ./pipeline export",
        )
    return error
