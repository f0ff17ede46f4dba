"""Writes the release: build/release/models/NAME/VERSION/ for TensorFlow Serving, and build/release/release.json"""

import datetime
import errno
import gc
import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts import _answers, _checkout, _console, _files, _golden, _models, _release, _variants
from scripts._errors import YourTurn

NEEDS = "train"
WARM_UP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks; anywhere else is ignored
SHARD = 256 * 2**20  # bytes of a file of variables

add_arguments = _models.add_argument


def run(model: list[str] | None) -> int:
    with _console.stage("export") as stage:
        stage.result = export(_models.chosen(model))
    _console.say("next: ./pipeline deploy local")
    return 0


def export(modules: list[str]) -> str:
    """Writes the release of `modules` into the store, whole or not at all, and points build/release at it."""
    identity, checkout = _release.identity(modules), _checkout.read()
    target = _release.STORE / f"{checkout.seconds}-{identity[:12]}"
    if not (target / "release.json").exists():
        try:
            with _files.directory(target) as folder:
                document = _document(identity, checkout)
                for module in modules:
                    _export_model(module, folder, document)
                _files.write_json(folder / "release.json", document)
                _release.read(folder)  # what is written is what every reader accepts
        except Exception as error:
            raise _explained(error) from error
    _note_comparisons(target / "release.json", modules)
    _files.link(_release.CANDIDATE, target)
    return f"{target}, {_size(target)}"


def _note_comparisons(path: Path, modules: list[str]) -> None:
    """What `evaluate --against` found: of that day, and no part of what the release is, so that it may be noted later, too."""
    try:
        evaluations = [_models.record(module, "evaluation.json", "evaluate") for module in modules]
    except YourTurn:  # the release was exported before, and what it was made of is gone
        return
    found = [comparison for evaluation in evaluations for comparison in evaluation["against"]]
    document = json.loads(path.read_text())
    if document.get("against", []) != found:
        _files.write_json(path, document | {"against": found})


def _document(identity: str, checkout: _checkout.Checkout) -> dict[str, Any]:
    import tensorflow as tf

    created = datetime.datetime.fromtimestamp(checkout.seconds, datetime.UTC).isoformat()
    return {
        "format": 1,
        "id": identity,
        "version": checkout.seconds,
        "commit": checkout.commit,
        "dirty": checkout.dirty,
        "created": created,
        "tensorflow": tf.__version__,
        "models": [],
        "edge": [],
    }


def _export_model(module: str, folder: Path, document: dict[str, Any]) -> None:
    """Writes the model and its variants below `folder`, and adds them to `document`."""
    model, evaluation = _models.load(module), _models.record(module, "evaluation.json", "evaluate")
    if not evaluation["passed"]:
        raise YourTurn(
            f"{module} did not pass its gates: it is not exported", f"change model/{module}.py, then ./pipeline train"
        )
    common = {"module": module, "data": _hash_data(model)}
    common |= {"labels": model.LABELS, "signature_number": model.SIGNATURE}
    entry = _export_servable(model.NAME, module, model, _original, folder, document["version"])
    document["models"].append(entry | common | _judged(evaluation))
    for variant in evaluation["variants"]:
        if variant["technique"] == "litert":
            document["edge"].append(_export_litert(module, model, folder, entry) | common | _judged(variant))
            continue
        name = f"{model.NAME}_{variant['technique']}"
        compressed = _export_servable(name, module, model, _variants.int8, folder, document["version"])
        _refuse_larger(module, name, document["version"], folder, model.NAME)
        document["models"].append(compressed | common | _judged(variant) | {"variant_of": model.NAME})


def _judged(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "metrics": {name: value for name, value in evaluation["metrics"].items() if value is not None},
        "gates": [{key: gate[key] for key in ("metric", "bound", "value")} for gate in evaluation["gates"]],
    }


def _export_servable(
    name: str, module: str, model: ModuleType, form: Callable, folder: Path, version: int
) -> dict[str, Any]:
    """Writes one servable; `form` gives its signature and its variables, of a network."""
    target = folder / "models" / name / str(version)
    _write_form(form, module, model, target)
    gc.collect()  # the network has gone before what was written is loaded: never is a large model in memory twice
    signature, examples = _ask_examples(module, model, target)
    _write_warm_up(name, model, signature, target / WARM_UP)
    return {
        "name": name,
        "files": _files.hashes(target),
        "size": _bytes(target),
        "signature": signature,
        "examples": examples,
    }


def _write_form(form: Callable, module: str, model: ModuleType, target: Path) -> None:
    serving, variables = form(model, _models.network(module))
    _save(_traceable(module, serving), variables, target)


def _original(model: ModuleType, network: Any) -> tuple[Callable, list]:
    return model.serving(network), [variable.value for variable in network.variables]


def _refuse_larger(module: str, name: str, version: int, folder: Path, original: str) -> None:
    """A graph has a size, too: what its weights save may be less than what it costs to restore them."""
    size, before = (_bytes(folder / "models" / which / str(version)) for which in (name, original))
    if size >= before:
        problem = (
            f"model/{module}.py: {name} is {size / 1024:.0f} KiB in all, and the original only {before / 1024:.0f} KiB"
        )
        raise YourTurn(problem, f"remove that variant from model/{module}.py, then ./pipeline train")


def _export_litert(module: str, model: ModuleType, folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The LiteRT file that evaluate judged, once it answers the golden examples as the served model does."""
    import numpy as np

    file = f"edge/{model.NAME}.tflite"
    content = (Path("build") / module / f"{model.NAME}.tflite").read_bytes()
    ask = _variants.interpreter(content)
    for number, example in enumerate(entry["examples"], 1):
        (tensor,) = _answers.tensors(example["inputs"], entry["signature"]).values()
        answers = {name: np.array(value) for name, value in example["outputs"].items()}
        right = _answers.predictions(module, model, answers).tolist()
        if found := _golden.difference(right, ask(np.asarray(model.features(tensor))).tolist(), example["tolerance"]):
            problem = f"model/{module}.py: its LiteRT file answers example {number} wrongly: scores{found}"
            raise YourTurn(problem, f"remove that variant from model/{module}.py, then ./pipeline train")
    (folder / "edge").mkdir(exist_ok=True)
    (folder / file).write_bytes(content)
    return {"name": model.NAME, "file": file, "sha256": _files.sha256(folder / file), "size": len(content)}


def _traceable(module: str, serving: Any) -> Any:
    if not getattr(serving, "input_signature", None):
        raise YourTurn(
            f"model/{module}.py: serving() must return a tf.function with an input_signature", f"edit model/{module}.py"
        )
    return serving


def _save(serving: Any, variables: list, target: Path) -> None:
    """Writes a SavedModel, the same bytes each time; `variables` says in which order.

    A large one comes in shards, so that a change of one variable leaves the others' files, and what is pushed of them, as they were.
    """
    import keras
    import tensorflow as tf

    graph = serving.get_concrete_function().graph  # traced here, since ExportArchive takes no untraced function
    # TensorFlow holds them in a set, whose order differs from process to process, and the SavedModel lists them in that order.
    order = {id(variable): number for number, variable in enumerate(variables)}
    graph.variables = sorted(graph.variables, key=lambda variable: (order.get(id(variable), len(order)), variable.name))
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", serving)
    shards = tf.train.experimental.MaxShardSizePolicy(max_shard_size=SHARD)
    archive.write_out(str(target), tf.saved_model.SaveOptions(experimental_sharding_callback=shards), verbose=False)
    _make_reproducible(target / "fingerprint.pb")


def _make_reproducible(path: Path) -> None:
    """TensorFlow puts a random UUID into the fingerprint: the only bytes in which two exports of one model differ."""
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef  # ty: ignore[missing-module-member]

    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(uuid.UUID(int=fingerprint.saved_model_checksum))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _ask_examples(module: str, model: ModuleType, target: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The signature, and what the exported model (not the one in memory) answers to its own examples, which must be near enough."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(target))  # kept: its functions do not outlive it
    function = loaded.signatures["serving_default"]
    signature = {
        "inputs": _answers.specs(function.structured_input_signature[1]),
        "outputs": _answers.specs(function.structured_outputs),
    }
    examples = []
    for number, example in enumerate(model.EXAMPLES, 1):
        try:
            outputs = {
                name: _answers.to_json(name, value)
                for name, value in function(**_answers.tensors(example.inputs, signature)).items()
            }
        except (ValueError, TypeError, tf.errors.OpError) as error:
            problem = f"model/{module}.py: its signature does not take example {number}: {error}"
            raise YourTurn(problem, f"edit EXAMPLES or serving() in model/{module}.py") from error
        if found := _golden.difference(dict(example.outputs), outputs, example.tolerance):
            raise YourTurn(
                f"model/{module}.py: the exported model answers example {number} wrongly: {found}",
                f"edit model/{module}.py, then ./pipeline train",
            )
        examples.append({"inputs": dict(example.inputs), "outputs": outputs, "tolerance": example.tolerance})
    return signature, examples


def _write_warm_up(name: str, model: ModuleType, signature: dict[str, Any], path: Path) -> None:
    """The examples as warm-up requests: the first real request meets a model that has answered before."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog  # ty: ignore[missing-module-member]

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in model.EXAMPLES[:1000]:  # TensorFlow Serving fails to load a model with more
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, "serving_default"
            for key, tensor in _answers.tensors(example.inputs, signature).items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString(deterministic=True))  # ty: ignore[missing-attribute]


def _hash_data(model: ModuleType) -> str:
    data, digest = model.data(), hashlib.sha256()
    for array in (data.train.inputs, data.train.targets, data.held_out.inputs, data.held_out.targets):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(
            b"".join(len(value).to_bytes(8) + value for value in array) if array.dtype == object else array.tobytes()
        )
    return digest.hexdigest()


def _explained(error: Exception) -> Exception:
    """A full disk comes as an OSError or as one of several TensorFlow errors."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return YourTurn(
            "the disk is full: nothing was exported, the releases before are untouched",
            "free some space below build/, then ./pipeline export",
        )
    return error


def _size(folder: Path) -> str:
    return f"{_bytes(folder) / 1024:.0f} KiB"


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
