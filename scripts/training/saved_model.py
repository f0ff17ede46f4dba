"""A SavedModel as TensorFlow Serving loads it: the same bytes whenever it is written, with warm-up records; and its answers."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from scripts.training import answers, graphs, models, networks, signatures
from scripts.training.signatures import DEFAULT, Signature
from scripts.workspace import files
from serving.embedded import fence

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks; anywhere else is ignored
SHARD = 256 * 2**20  # bytes of a file of variables


@dataclass(frozen=True)
class Form:
    """The parts of a network to write: a tf.function for each signature, and the variables in their order in the file."""

    functions: dict[str, Any]
    variables: list[Any]


def original(model: ModuleType, network: Any) -> Form:
    """The form of a model that is served as it was trained."""
    named = signatures.of_model(model, network)
    return Form(
        {name: signature.traced(signature.python) for name, signature in named.items()}, networks.variables(network)
    )


def write(name: str, module: str, model: ModuleType, form: Callable[..., Form], target: Path) -> dict[str, Any]:
    """Writes one servable to the folder `target`; `form` makes it of the model and its network.

    Returns its entry in release.json. Raises YourTurn if it rejects its model's examples, or answers them wrongly.
    """
    save(model, form(model, networks.load(model, models.state(module))), target)
    gc.collect()  # frees the network before its file is loaded: a large model must not be in memory twice
    named = read(model, target)
    examples = answers.of_examples(model, named)
    answers.check(model, examples)
    _write_warm_up(name, named, examples, target / WARM_UP)
    others = {name: signature.document for name, signature in named.items() if name != DEFAULT}
    return {
        "name": name,
        "files": files.hashes(target),
        "size": files.size(target),
        "signature": named[DEFAULT].document,
        **({"signatures": others} if others else {}),
        "examples": examples,
    }


def read(model: ModuleType, folder: Path) -> dict[str, Signature]:
    """The signatures of a SavedModel of `model`, or of an earlier version of it."""
    loaded = tf.saved_model.load(str(folder))
    functions = {name: loaded.signatures[name] for name in loaded.signatures if not name.startswith("__")}
    return signatures.of_functions(model, functions, keeps=loaded)


def traced(model: ModuleType, form: Form) -> dict[str, Any]:
    """The functions of a form with their graphs, by the signature's name. Raises YourTurn for operations that no model server has."""
    concrete = {name: function.get_concrete_function() for name, function in form.functions.items()}
    for name, function in concrete.items():
        graphs.refuse_foreign(model, name, function.graph)
    return concrete


def save(model: ModuleType, form: Form, target: Path) -> None:
    """Writes a SavedModel, the same bytes each time, with only the variables, tables and files that its signatures need, and guarded.

    A large one is written in shards: a change of one variable leaves the other shards, and their layers in the registry, as they were.
    """
    concrete = traced(model, form)
    root: Any = tf.Module()
    root.weights = _variables(concrete.values(), form.variables)
    root.tables = graphs.resources(function.graph for function in concrete.values())
    options = tf.saved_model.SaveOptions()
    if sum(variable.dtype.size * (variable.shape.num_elements() or 0) for variable in root.weights) > SHARD:
        shards = tf.train.experimental.MaxShardSizePolicy(max_shard_size=SHARD)
        options = tf.saved_model.SaveOptions(experimental_sharding_callback=shards)
    tf.saved_model.save(root, str(target), signatures=concrete, options=options)
    _rewrite(target)
    _make_reproducible(target / "fingerprint.pb")


def _rewrite(folder: Path) -> None:
    """Guards what could end a server, and forgets in which folder the export was made: both only in the graphs as they are written."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # ty: ignore[missing-module-member]
    from tensorflow.python.saved_model import fingerprinting_utils

    path = folder / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    changed = [fence.put(nodes, suffix) | graphs.forget_folder(nodes) for nodes, suffix in fence.graphs(saved)]
    if any(changed):
        path.write_bytes(saved.SerializeToString(deterministic=True))
        fingerprinting_utils.write_fingerprint(str(folder))


def _variables(functions: Any, order: list[Any]) -> list[Any]:
    """All that the functions use. TensorFlow holds them in a set, whose order differs from process to process."""
    places = {id(variable): number for number, variable in enumerate(order)}
    used = {id(variable): variable for function in functions for variable in function.graph.variables}
    return sorted(used.values(), key=lambda variable: (places.get(id(variable), len(places)), variable.name))


def _make_reproducible(path: Path) -> None:
    """TensorFlow puts a random UUID into the fingerprint: the only bytes in which two exports of one model differ."""
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef  # ty: ignore[missing-module-member]

    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(uuid.UUID(int=fingerprint.saved_model_checksum))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _write_warm_up(name: str, named: dict[str, Signature], examples: list[dict[str, Any]], path: Path) -> None:
    """Writes the examples as warm-up requests, so that the first real request is as fast as later ones."""
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog  # ty: ignore[missing-module-member]

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples[:1000]:  # TensorFlow Serving fails to load a model with more
            log, signature = PredictionLog(), example.get("signature", DEFAULT)
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, tensor in answers.tensors(example["inputs"], named[signature].document).items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString(deterministic=True))  # ty: ignore[missing-attribute]
