"""A model's own EXAMPLES, inputs and outputs, as TensorFlow Serving's REST API writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from model import Tolerance
from scripts.release import golden
from scripts.training import forms
from scripts.training.faults import mistake
from scripts.training.signatures import DEFAULT, Signature


def of_examples(model: ModuleType, signatures: dict[str, Signature]) -> list[dict[str, Any]]:
    """EXAMPLES in the form of release.json, with the signatures' answers. Raises YourTurn for an example that they do not accept."""
    return [_answered(model, number, example, signatures) for number, example in enumerate(model.EXAMPLES, 1)]


def check(model: ModuleType, examples: list[dict[str, Any]]) -> None:
    """Raises YourTurn for answers outside of the tolerance of those in the model file."""
    for number, (example, answered) in enumerate(zip(model.EXAMPLES, examples, strict=True), 1):
        if found := golden.difference(_plain(example.outputs), answered["outputs"], answered["tolerance"]):
            problem = f"the exported model answers example {number} wrongly: {found}"
            raise mistake(model, problem)


def check_form(model: ModuleType, examples: list[dict[str, Any]], signatures: dict[str, Signature]) -> None:
    """Checks EXAMPLES against the answers of an untrained network: names, types and shapes."""
    for number, (example, answered) in enumerate(zip(model.EXAMPLES, examples, strict=True), 1):
        expected, outputs = _plain(example.outputs), signatures[example.signature].outputs
        if found := golden.difference(dict.fromkeys(expected), dict.fromkeys(answered["outputs"]), 0.0):
            raise mistake(model, f"the outputs of example {number} are not as the signature's: {found}")
        for name, value in expected.items():
            if found := forms.misfit(name, value, answered["outputs"][name], outputs[name]):
                raise mistake(model, f"example {number}: {found}")


def check_settled(model: ModuleType, examples: list[dict[str, Any]], settled: dict[str, set[str]]) -> None:
    """Checks the answers of an untrained network: those that no training can change, by signature."""
    for number, (example, answered) in enumerate(zip(model.EXAMPLES, examples, strict=True), 1):
        same = settled[example.signature]
        expected, given = ({n: v[n] for n in v if n in same} for v in (_plain(example.outputs), answered["outputs"]))
        if found := golden.difference(expected, given, answered["tolerance"]):
            raise mistake(model, f"example {number} is answered wrongly, and no training changes that: {found}")


def _answered(model: ModuleType, number: int, example: Any, signatures: dict[str, Signature]) -> dict[str, Any]:
    if example.signature not in signatures:
        problem = (
            f"example {number} asks the signature {example.signature!r}; there is {', '.join(map(repr, signatures))}"
        )
        raise mistake(model, problem)
    signature, inputs = signatures[example.signature], _plain(example.inputs)
    outputs = ask(model, number, signature, inputs)
    named = {} if example.signature == DEFAULT else {"signature": example.signature}
    return named | {"inputs": inputs, "outputs": outputs, "tolerance": _tolerance(model, number, example, signature)}


def ask(model: ModuleType, number: int, signature: Signature, inputs: dict[str, Any]) -> dict[str, Any]:
    """The answers of `signature` to the JSON values `inputs`, as JSON values. Raises YourTurn if it does not accept them."""
    try:
        outputs = signature.call(tensors(inputs, signature.document))
        return {name: to_json(name, value) for name, value in sorted(outputs.items())}
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise mistake(model, f"its signature does not take example {number}: {forms.short(error)}") from error


def _tolerance(model: ModuleType, number: int, example: Any, signature: Signature) -> Any:
    if isinstance(example.tolerance, Mapping) and (unknown := example.tolerance.keys() - signature.outputs.keys()):
        raise mistake(model, f"example {number} has a tolerance for {sorted(unknown)[0]!r}, which is no output")
    try:
        return tolerances(example)
    except (TypeError, ValueError) as error:
        raise mistake(model, f"example {number} has a tolerance that is no number: {error}") from error


def tolerances(example: Any) -> Any:
    """The tolerance of an example in the form of release.json: a number, an absolute and a relative one, or either by output."""
    given = example.tolerance
    return {name: _allowed(one) for name, one in given.items()} if isinstance(given, Mapping) else _allowed(given)


def _allowed(given: float | Tolerance) -> Any:
    if isinstance(given, Tolerance):
        return {"absolute": float(given.absolute), "relative": float(given.relative)}
    return float(given)


def tensors(values: Mapping[str, Any], signature: dict[str, Any]) -> dict[str, Any]:
    """Tensors from JSON values. Raises ValueError if the names are not the signature's."""
    if values.keys() != signature["inputs"].keys():
        raise ValueError(
            f"its inputs are named {', '.join(sorted(signature['inputs']))}, the example's {', '.join(sorted(values))}"
        )
    return {name: forms.tensor(name, value, **signature["inputs"][name]) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """An example's value as JSON values: arrays and tensors as lists, bytes in base64."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def to_json(name: str, tensor: Any) -> Any:
    """A tensor as TensorFlow Serving's REST API writes it: strings as text, or in base64 if the output's name ends in _bytes."""
    return _encode(tensor.numpy().tolist(), name.endswith("_bytes"))


def _encode(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_encode(item, as_bytes) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode()
    return value
