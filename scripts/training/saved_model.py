"""A SavedModel as TensorFlow Serving loads it: the same bytes whenever it is written, with warm-up records, and what it answers."""

import gc
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.release import golden
from scripts.training import answers, models
from scripts.workspace import files
from scripts.workspace.errors import YourTurn

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks; anywhere else is ignored
SHARD = 256 * 2**20  # bytes of a file of variables


def write(name: str, module: str, model: ModuleType, form: Callable, target: Path) -> dict[str, Any]:
    """Writes one servable to the folder `target`; `form` gives its signature and its variables, of a network.

    Returns what release.json says of it. Raises YourTurn where it does not take, or answers wrongly, the examples of its own model.
    """
    _write_form(form, module, model, target)
    gc.collect()  # the network has gone before what was written is loaded: never is a large model in memory twice
    signature, examples = _ask_examples(module, model, target)
    _write_warm_up(name, model, signature, target / WARM_UP)
    return {
        "name": name,
        "files": files.hashes(target),
        "size": files.size(target),
        "signature": signature,
        "examples": examples,
    }


def original(model: ModuleType, network: Any) -> tuple[Callable, list]:
    """The form of a model that is served as it was trained."""
    return model.serving(network), [variable.value for variable in network.variables]


def _write_form(form: Callable, module: str, model: ModuleType, target: Path) -> None:
    serving, variables = form(model, models.network(module))
    _save(_traceable(module, serving), variables, target)


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
        "inputs": answers.specs(function.structured_input_signature[1]),
        "outputs": answers.specs(function.structured_outputs),
    }
    examples = []
    for number, example in enumerate(model.EXAMPLES, 1):
        try:
            outputs = {
                name: answers.to_json(name, value)
                for name, value in function(**answers.tensors(example.inputs, signature)).items()
            }
        except (ValueError, TypeError, tf.errors.OpError) as error:
            problem = f"model/{module}.py: its signature does not take example {number}: {error}"
            raise YourTurn(problem, f"edit EXAMPLES or serving() in model/{module}.py") from error
        if found := golden.difference(dict(example.outputs), outputs, example.tolerance):
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
            for key, tensor in answers.tensors(example.inputs, signature).items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
            writer.write(log.SerializeToString(deterministic=True))  # ty: ignore[missing-attribute]
