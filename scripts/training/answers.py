"""What a model answers, asked as a client asks: through its signature; and its values as TensorFlow Serving's REST API writes them."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scripts.workspace.errors import YourTurn

if TYPE_CHECKING:
    import numpy as np

BATCH = 64  # of a request: small enough for any model's memory, large enough that the asking costs nothing


def ask(function: Callable, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of `function` (one tensor → tensors by name) for all of `inputs`, by name."""
    import numpy as np
    import tensorflow as tf

    batches = [function(tf.constant(inputs[i : i + BATCH])) for i in range(0, len(inputs), BATCH)]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


def predictions(module: str, model: ModuleType, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The output that metrics() is given. Raises YourTurn where the model file does not say which one that is."""
    if model.PREDICTIONS in outputs:
        return outputs[model.PREDICTIONS]
    if model.PREDICTIONS is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    problem = f"model/{module}.py: PREDICTIONS is {model.PREDICTIONS!r}, and the signature's outputs are {', '.join(sorted(outputs))}"
    raise YourTurn(problem, f"edit model/{module}.py: PREDICTIONS must be one of them")


def by_name(signature: Any) -> Callable:
    """A loaded SavedModel's signature as a function of its only input."""
    name = next(iter(signature.structured_input_signature[1]))
    return lambda tensor: signature(**{name: tensor})


def specs(named: dict[str, Any]) -> dict[str, Any]:
    """One side of a signature, as release.json has it."""
    return {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list() if spec.shape.rank is not None else None}
        for name, spec in sorted(named.items())
    }


def signature(serving: Any) -> dict[str, Any]:
    """The signature of a tf.function with an input_signature, as release.json has it."""
    named = {spec.name: spec for spec in serving.input_signature}
    return {"inputs": specs(named), "outputs": specs(serving.get_concrete_function().structured_outputs)}


def tensors(values: Any, signature: dict[str, Any]) -> dict[str, Any]:
    """Tensors from JSON values. Raises ValueError where the names are not the signature's."""
    import tensorflow as tf

    if values.keys() != signature["inputs"].keys():
        raise ValueError(
            f"its inputs are named {', '.join(sorted(signature['inputs']))}, the example's {', '.join(sorted(values))}"
        )
    return {name: tf.constant(_decode(value), signature["inputs"][name]["dtype"]) for name, value in values.items()}


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [_decode(item) for item in value] if isinstance(value, list) else value


def to_json(name: str, tensor: Any) -> Any:
    """A tensor as TensorFlow Serving's REST API writes it: strings as text, but base64 where the output's name ends in _bytes."""
    return _encode(tensor.numpy().tolist(), name.endswith("_bytes"))


def _encode(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_encode(item, as_bytes) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it answers {value}")
    return value
