"""Compressed forms of a model: int8 weights for TensorFlow Serving ("int8"), and a LiteRT file for small devices ("litert").

Both keep a kernel as whole numbers from −127 to 127 and one scale for each of its output channels. Neither needs an op that the server's
image lacks: "int8" multiplies the scale back in the graph, so that its answers take about as long as the original's.
"""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from scripts.training import networks, scoring, signatures
from scripts.training.faults import mistake
from scripts.training.saved_model import Form
from scripts.training.scoring import Ask, HeldOut
from scripts.training.signatures import DEFAULT, Signature

TIMED = 30  # answers to one input; the fastest is the latency: other load disturbs it least


@dataclass(frozen=True)
class Original:
    """The uncompressed model, against which a variant is measured."""

    model: ModuleType
    network: Any
    signature: Signature
    metrics: dict[str, float]
    held_out: HeldOut


def judge(original: Original, folder: Path) -> list[dict[str, Any]]:
    """Makes and measures each of VARIANTS; a LiteRT file is left in `folder`. Each comes with its two gates."""
    model, held_out = original.model, original.held_out
    records = []
    for variant in model.VARIANTS:
        size, ask = (_int8 if variant.technique == "int8" else _litert)(original, folder)
        metrics = scoring.score(held_out, ask).metrics
        gate = next(gate for gate in model.GATES if gate.metric == variant.metric)
        loss = gate.loss(original.metrics[variant.metric], metrics[variant.metric])
        gates = [
            bounded("size ratio", size / networks.size(original.network), variant.size_at_most),
            bounded(f"loss of {variant.metric}", loss, variant.loss_at_most),
        ]
        metrics = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        record = {"technique": variant.technique, "size": size, "milliseconds": latency(ask, held_out.first())}
        records.append(record | {"metrics": metrics, "gates": gates})
    return records


def bounded(metric: str, value: float, bound: float) -> dict[str, Any]:
    """A gate: `value` against its upper `bound`. NaN never passes, and is written as null, since JSON has none."""
    finite = value if math.isfinite(value) else None
    return {"metric": metric, "bound": f"<= {bound:g}", "value": finite, "passed": bool(value <= bound)}


def latency(ask: Callable, one: Any) -> float:
    """Milliseconds that `ask` takes to answer one input."""
    return latencies([ask], one)[0]


def latencies(asks: Sequence[Callable], one: Any) -> list[float]:
    """The latency of each, asked in turn so that other load slows all alike."""

    def milliseconds(ask: Callable) -> float:
        begin = time.perf_counter()
        ask(one)
        return 1000 * (time.perf_counter() - begin)

    for ask in asks:
        ask(one)  # the first call is slow: it traces
    rounds = [[milliseconds(ask) for ask in asks] for _ in range(TIMED)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _int8(original: Original, folder: Path) -> tuple[int, Ask]:
    form, signature = int8(original.model, original.network), original.signature
    function = form.functions[DEFAULT]
    size = sum(np.asarray(variable).nbytes for variable in form.variables)

    def call(tensors: dict[str, Any]) -> dict[str, Any]:
        return function(*(tensors[name] for name in signature.inputs))

    return size, lambda inputs: signatures.asked(signature, call, inputs)


def int8(model: ModuleType, network: Any) -> Form:
    """The signatures of `model` with the kernels of `network` as int8, and all its variables, in the network's order."""
    if not isinstance(network, keras.Model):
        raise mistake(
            model, "the variant 'int8' is of a keras.Model, and network() gives another: remove it from VARIANTS"
        )
    stored, variables = [], []
    for weight in network.weights:
        if len(weight.shape) < 2 or not tf.as_dtype(weight.dtype).is_floating:
            variables.append(weight.value)  # a bias: next to nothing
            continue
        whole, scale = (
            tf.Variable(part, trainable=False, name=weight.name) for part in _quantise(np.asarray(weight.value))
        )
        stored.append((weight, whole, scale))
        variables += [whole, scale]

    def compressed(signature: Signature) -> Any:
        def python(tensors: dict[str, Any]) -> dict[str, Any]:
            restored = [(weight, tf.cast(whole, scale.dtype) * scale) for weight, whole, scale in stored]
            with keras.StatelessScope(state_mapping=restored):
                return signature.python(tensors)

        return signature.traced(python)

    named = signatures.of_model(model, network)
    return Form({name: compressed(signature) for name, signature in named.items()}, variables)


def _quantise(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """kernel ≈ whole × scale, with one scale for each output channel: the last axis of Dense and of Conv."""
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(kernel.dtype)  # a channel of zeros
    return np.round(kernel / scale).astype("int8"), scale


def _litert(original: Original, folder: Path) -> tuple[int, Ask]:
    model = original.model
    content = litert(model, original.network)
    (folder / f"{model.NAME}.tflite").write_bytes(content)
    return len(content), of_litert(model, original.signature, content)


def of_litert(model: ModuleType, signature: Signature, content: bytes) -> Ask:
    """A LiteRT file as a function of a batch of inputs; its output takes the place of the one that metrics() is given."""
    interpret = interpreter(content)
    output = model.PREDICTIONS if isinstance(model.PREDICTIONS, str) else next(iter(signature.outputs))
    return lambda inputs: {output: interpret(np.asarray(model.features(inputs)))}


def litert(model: ModuleType, network: Any) -> bytes:
    """The network alone as a LiteRT file with int8 kernels: a device decodes its own pictures and sounds (`features` says how).

    Raises YourTurn for a network with several inputs or outputs, or with operations that LiteRT lacks.
    """
    if len(getattr(network, "inputs", [])) != 1 or len(network.outputs) != 1:
        raise mistake(
            model, "the variant 'litert' takes a keras.Model of one input and one output: remove it from VARIANTS"
        )
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name="input") for tensor in network.inputs]
    concrete = tf.function(
        lambda inputs: network(inputs, training=False), input_signature=specs
    ).get_concrete_function()
    # No network as second argument: with it, the weights of some networks are left out, and the file answers noise.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        with _quietly():
            return converter.convert()
    except Exception as error:  # ConverterError, whose name is private
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        words = first.rpartition("error: ")[2][:200]  # without the converter's own file and line
        problem = f"the network cannot be a LiteRT file: {words}; remove 'litert' from VARIANTS"
        raise mistake(model, problem) from error


@contextmanager
def _quietly() -> Generator[None]:
    """Silences the converter's debugging notes on stderr; it raises its errors."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def interpreter(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A LiteRT file as a function from the network's inputs to its outputs."""
    with warnings.catch_warnings(), _quietly():
        warnings.simplefilter(
            "ignore"
        )  # the announced move to a package of its own: the pinned TensorFlow still has the interpreter
        loaded = tf.lite.Interpreter(model_content=content, num_threads=1)
    source, target = loaded.get_input_details()[0]["index"], loaded.get_output_details()[0]["index"]

    def ask(inputs: np.ndarray) -> np.ndarray:
        with _quietly():
            loaded.resize_tensor_input(source, inputs.shape)
            loaded.allocate_tensors()
        loaded.set_tensor(source, inputs)
        loaded.invoke()
        return loaded.get_tensor(target)

    return ask
