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
from typing import TYPE_CHECKING, Any

from scripts.training import answers

if TYPE_CHECKING:
    import numpy as np

TIMED = 30  # answers to one input, of which the fastest is the latency: the one the machine disturbs least


@dataclass(frozen=True)
class Original:
    """What a variant is measured against."""

    module: str
    model: ModuleType
    network: Any
    metrics: dict[str, float]
    held_out: Any

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        import tensorflow as tf

        return sum(math.prod(weight.shape) * tf.as_dtype(weight.dtype).size for weight in self.network.weights)


def judge(original: Original, folder: Path) -> list[dict[str, Any]]:
    """Makes and measures each of VARIANTS; a LiteRT file is left in `folder`. Each comes with its two gates."""
    model, held_out = original.model, original.held_out
    records = []
    for variant in model.VARIANTS:
        make = _int8 if variant.technique == "int8" else _litert
        size, ask = make(original, folder)
        metrics = {name: float(value) for name, value in model.metrics(ask(held_out.inputs), held_out.targets).items()}
        gate = next(gate for gate in model.GATES if gate.metric == variant.metric)
        loss = gate.loss(original.metrics[variant.metric], metrics[variant.metric])
        gates = [
            bounded("size ratio", size / original.size, variant.size_at_most),
            bounded(f"loss of {variant.metric}", loss, variant.loss_at_most),
        ]
        metrics = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        record = {"technique": variant.technique, "size": size, "milliseconds": latency(ask, held_out.inputs[:1])}
        records.append(record | {"metrics": metrics, "gates": gates})
    return records


def bounded(metric: str, value: float, bound: float) -> dict[str, Any]:
    """A gate: `value` against its upper `bound`. NaN never passes, and is null, since JSON has none."""
    finite = value if math.isfinite(value) else None
    return {"metric": metric, "bound": f"<= {bound:g}", "value": finite, "passed": value <= bound}


def latency(ask: Callable, one: np.ndarray) -> float:
    """Milliseconds that `ask` takes to answer one input."""
    return latencies([ask], one)[0]


def latencies(asks: Sequence[Callable], one: np.ndarray) -> list[float]:
    """The same of each, asked in turn so that whatever else the machine does slows all alike."""

    def milliseconds(ask: Callable) -> float:
        begin = time.perf_counter()
        ask(one)
        return 1000 * (time.perf_counter() - begin)

    for ask in asks:
        ask(one)  # the first is slow: it is traced
    rounds = [[milliseconds(ask) for ask in asks] for _ in range(TIMED)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _int8(original: Original, folder: Path) -> tuple[int, Callable]:
    import numpy as np

    serving, variables = int8(original.model, original.network)
    size = sum(np.asarray(variable).nbytes for variable in variables)

    def ask(inputs: np.ndarray) -> np.ndarray:
        return answers.predictions(original.module, original.model, answers.ask(serving, inputs))

    return size, ask


def int8(model: ModuleType, network: Any) -> tuple[Callable, list[Any]]:
    """The signature of `model` with the kernels of `network` as int8, and all its variables, in the network's order."""
    import keras
    import numpy as np
    import tensorflow as tf

    stored, variables = [], []
    for weight in network.weights:
        if len(weight.shape) < 2:
            variables.append(weight.value)  # a bias: next to nothing
            continue
        whole, scale = (
            tf.Variable(part, trainable=False, name=weight.name) for part in _quantise(np.asarray(weight.value))
        )
        stored.append((weight, whole, scale))
        variables += [whole, scale]
    original = model.serving(network)

    @tf.function(input_signature=original.input_signature)
    def serving(*inputs):
        restored = [(weight, tf.cast(whole, scale.dtype) * scale) for weight, whole, scale in stored]
        with keras.StatelessScope(state_mapping=restored):
            return original.python_function(*inputs)

    return serving, variables


def _quantise(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """kernel ≈ whole × scale, with one scale for each output channel: the last axis of Dense and of Conv."""
    import numpy as np

    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(kernel.dtype)  # a channel of zeros
    return np.round(kernel / scale).astype("int8"), scale


def _litert(original: Original, folder: Path) -> tuple[int, Callable]:
    import numpy as np

    content = litert(original.network)
    (folder / f"{original.model.NAME}.tflite").write_bytes(content)
    interpret = interpreter(content)
    return len(content), lambda inputs: interpret(np.asarray(original.model.features(inputs)))


def litert(network: Any) -> bytes:
    """The network alone as a LiteRT file with int8 kernels: a device decodes its own pictures and sounds (`features` says how)."""
    import tensorflow as tf

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, name="input") for tensor in network.inputs]
    concrete = tf.function(
        lambda inputs: network(inputs, training=False), input_signature=signature
    ).get_concrete_function()
    # Without the network as its second argument: with it, the weights of some networks are left out, and the file answers noise.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with _quietly():
        return converter.convert()


@contextmanager
def _quietly() -> Generator[None]:
    """The converter writes notes for its makers to the process's own stderr; what matters it raises."""
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
    import tensorflow as tf

    with warnings.catch_warnings(), _quietly():
        warnings.simplefilter(
            "ignore"
        )  # that it will move to a package of its own: it is in the TensorFlow that is pinned
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
