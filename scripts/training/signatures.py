"""A signature: named tensors in, named tensors out, however serving() writes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from scripts.training import batches, guards
from scripts.training.faults import mistake

DEFAULT = "serving_default"
# The types that TensorFlow Serving reads from JSON and writes to it; it only writes half precision.
READ = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool", "string"]
WRITTEN = [*READ, "float16"]
NAME = r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*"  # of a node in a graph


@dataclass(frozen=True)
class Signature:
    """`call` takes tensors by name and returns tensors by name; `python` is the same before tracing, for another graph."""

    model: ModuleType
    name: str
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]
    call: Callable[[dict[str, Any]], dict[str, Any]]
    python: Callable[[dict[str, Any]], dict[str, Any]]
    keeps: Any  # the owner of the variables: a function does not keep them alive

    @property
    def document(self) -> dict[str, Any]:
        """The signature in the form of release.json."""
        return {"inputs": _described(self.inputs), "outputs": _described(self.outputs)}

    @property
    def batch_size(self) -> int:
        """Examples in a request; a signature may fix the number."""
        sizes = [spec.shape[0] for spec in self.inputs.values() if spec.shape.rank]
        return next((size for size in sizes if size), batches.SIZE)

    def traced(self, python: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
        """`python` as a tf.function with the inputs of this signature, by name and in order, each checked before it is read."""
        specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in self.inputs.items()]

        @tf.function(input_signature=specs)
        def served(*tensors):
            named = zip(self.inputs.items(), tensors, strict=True)
            return python({name: guards.checked(name, tensor, spec) for (name, spec), tensor in named})

        return served

    def ask(self, inputs: Any) -> dict[str, np.ndarray]:
        """The answers to one batch of the model file's inputs. Examples of different shapes are asked separately, never padded."""
        return asked(self, self.call, inputs)

    def is_batch(self, inputs: Any) -> bool:
        """Whether these inputs of a stream hold several examples, by the rank of the signature's inputs."""
        named = self.named(inputs)
        ranks = [(array.ndim, self.inputs[name].shape.rank) for name, array in named.items()]
        return any(batches.is_ragged(array) for array in named.values()) or any(
            rank in (None, ndim) for ndim, rank in ranks
        )

    def named(self, inputs: Any) -> dict[str, np.ndarray]:
        """The inputs by name, without those that only metrics() uses."""
        names = list(self.inputs)
        if isinstance(inputs, dict):
            if missing := [name for name in names if name not in inputs]:
                problem = (
                    f"its data have no input {', '.join(map(repr, missing))}; they have {', '.join(map(repr, inputs))}"
                )
                raise mistake(self.model, problem)
            return {name: inputs[name] for name in names}
        arrays = inputs if isinstance(inputs, tuple) else (inputs,)
        if len(arrays) != len(names):
            problem = f"the signature has the inputs {', '.join(map(repr, names))}: data must give each by its name, as a mapping"
            raise mistake(self.model, problem)
        return dict(zip(names, arrays, strict=True))

    def tensors(self, named: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _tensor(self.model, name, array, self.inputs[name]) for name, array in named.items()}


def asked(signature: Signature, function: Callable, inputs: Any) -> dict[str, np.ndarray]:
    """The answers of `function`, which takes what `signature` takes, to a batch of inputs."""
    named = signature.named(inputs)
    places, answers = [], []
    for some in _alike(named):
        tensors = signature.tensors({name: _dense(array[some]) for name, array in named.items()})
        places.append(some)
        answers.append({name: _numpy(value, len(some)) for name, value in function(tensors).items()})
    order = np.argsort(np.concatenate(places), kind="stable")
    return batches.rows(batches.join(answers), order)


def _alike(named: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """The places of the examples of each shape: all places at once, unless the batch is ragged."""
    groups: dict[Any, list[int]] = {}
    if not any(map(batches.is_ragged, named.values())):
        groups[None] = list(range(batches.length(named)))
    else:
        for place in range(batches.length(named)):
            groups.setdefault(tuple(np.shape(array[place]) for array in named.values()), []).append(place)
    yield from map(np.array, groups.values())


def _dense(array: np.ndarray) -> np.ndarray:
    return np.stack(list(array)) if batches.is_ragged(array) else array


def _tensor(model: ModuleType, name: str, array: np.ndarray, spec: Any) -> Any:
    """A tensor of the spec's type; a cast may lose only precision. Raises YourTurn for another type or shape."""
    tensor: Any
    if spec.dtype == tf.string:
        if array.dtype.kind not in "OSU":
            raise mistake(model, f"input {name!r} is {array.dtype}, and the signature takes strings")
        if odd := [one for one in array.flat if not isinstance(one, str | bytes)]:
            problem = f"input {name!r} holds {odd[0]!r}, and the signature takes strings: a client sends some for what is missing, too"
            raise mistake(model, problem)
        tensor = tf.constant(array.tolist(), tf.string, shape=array.shape)
    else:
        tensor = tf.constant(_cast(model, name, array, spec.dtype.as_numpy_dtype))
    if not spec.shape.is_compatible_with(array.shape):
        raise mistake(model, f"input {name!r} has the shape {array.shape}, and the signature takes {spec.shape}")
    return tensor


def _cast(model: ModuleType, name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    try:
        array = np.asarray(array.tolist()) if array.dtype == object else array
        cast = array.astype(dtype, casting="same_kind")
    except (TypeError, ValueError):
        raise mistake(model, f"input {name!r} is {array.dtype}, and the signature takes {np.dtype(dtype)}") from None
    if cast.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise mistake(
            model, f"input {name!r} holds numbers that do not fit into the {np.dtype(dtype)} of the signature"
        )
    return cast


def _numpy(tensor: Any, examples: int) -> np.ndarray:
    """The tensor in NumPy; half precision becomes float32, since a mean of many values would overflow."""
    tensor = tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor
    array = np.asarray(tensor.numpy())
    return array if array.ndim else np.repeat(array[None], examples)


def _described(named: dict[str, tf.TensorSpec]) -> dict[str, Any]:
    return {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list() if spec.shape.rank is not None else None}
        for name, spec in sorted(named.items())
    }


def of_model(model: ModuleType, network: Any) -> dict[str, Signature]:
    """The signatures of serving(), by name; "serving_default" comes first. Raises YourTurn for one that cannot be served."""
    given = model.serving(network)
    return of_functions(model, dict(given) if isinstance(given, Mapping) else {DEFAULT: given}, keeps=network)


def of_functions(model: ModuleType, given: dict[str, Any], keeps: Any) -> dict[str, Signature]:
    """The signatures of functions by name; each keeps `keeps`, the functions' owner, alive."""
    if DEFAULT not in given:
        raise mistake(model, f"serving() gives the signatures {', '.join(map(repr, given))}, and none is {DEFAULT!r}")
    names = sorted(given, key=lambda name: (name != DEFAULT, name))
    return {name: _signature(model, name, given[name], keeps) for name in names}


def _signature(model: ModuleType, name: str, function: Any, keeps: Any) -> Signature:
    concrete = _concrete(model, function)
    structure = concrete.structured_input_signature
    inputs = dict(_inputs(model, structure))
    outputs = _outputs(model, concrete.structured_outputs)
    _check_types(model, inputs, outputs)

    def calling(function: Callable) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def call(tensors: dict[str, Any]) -> dict[str, Any]:
            args, kwargs = tf.nest.pack_sequence_as(structure, [tensors[name] for name in inputs])
            answer = function(*args, **kwargs)
            return answer if isinstance(answer, dict) else {"output_0": answer}

        return call

    traced = function if callable(getattr(function, "python_function", None)) else concrete
    return Signature(
        model, name, inputs, outputs, calling(traced), calling(getattr(traced, "python_function", traced)), keeps
    )


def _concrete(model: ModuleType, function: Any) -> Any:
    """The function, traced for its signature; a function loaded from a SavedModel is traced already."""
    if hasattr(function, "structured_input_signature"):
        return function
    if getattr(function, "input_signature", None) is None:
        raise mistake(model, "serving() must return a tf.function with an input_signature")
    return function.get_concrete_function()


def _inputs(model: ModuleType, structure: Any) -> Iterator[tuple[str, tf.TensorSpec]]:
    """A mapping of specs names its inputs by its keys; any other spec by its own name, or that of the argument."""
    args, kwargs = structure
    for name, spec in [*(("", arg) for arg in args), *sorted(kwargs.items())]:
        named = spec.items() if isinstance(spec, Mapping) else [(getattr(spec, "name", None) or name, spec)]
        for key, value in sorted(named, key=lambda item: item[0]):  # the order of tf.nest
            if not isinstance(value, tf.TensorSpec):
                raise mistake(
                    model, f"input {key!r} of the signature is {type(value).__name__}: TensorFlow Serving takes tensors"
                )
            yield key, value


def _outputs(model: ModuleType, structured: Any) -> dict[str, tf.TensorSpec]:
    named = structured if isinstance(structured, Mapping) else {"output_0": structured}
    for name, value in named.items():
        if not isinstance(value, tf.Tensor | tf.TensorSpec):
            problem = (
                f"output {name!r} of the signature is {type(value).__name__}: it must return a dict of names to tensors"
            )
            raise mistake(model, problem)
    return {name: tf.TensorSpec(value.shape, value.dtype, name) for name, value in named.items()}


def _check_types(model: ModuleType, inputs: dict[str, tf.TensorSpec], outputs: dict[str, tf.TensorSpec]) -> None:
    for kind, named, served in (("input", inputs, READ), ("output", outputs, WRITTEN)):
        for name, spec in named.items():
            if spec.dtype.name not in served:
                problem = (
                    f"{kind} {name!r} of the signature is {spec.dtype.name}, which TensorFlow Serving's REST API cannot"
                )
                raise mistake(model, f"{problem} {'read' if kind == 'input' else 'write'}; it can: {', '.join(served)}")
    if odd := [name for name in inputs if not re.fullmatch(NAME, name)]:
        raise mistake(
            model, f"input {odd[0]!r} of the signature: a name may hold only letters, digits, '_', '.', '/' and '-'"
        )
