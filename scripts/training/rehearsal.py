"""Checks of an untrained model: seconds, before hours of training."""

from __future__ import annotations

import gc
import re
import tempfile
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from model import Data
from scripts.training import (
    answers,
    batches,
    fitting,
    graphs,
    networks,
    saved_model,
    scoring,
    signatures,
    surroundings,
    variants,
)
from scripts.training.faults import mistake
from scripts.training.signatures import Signature

EXAMPLES = 256  # at least so many of the held-out data, for the untrained network


def rehearse(module: str) -> str:
    """Goes the whole way with the untrained network: data, answers, metrics, examples, an export, and one answer of that."""
    model = fitting.prepare(module)
    surroundings.tell_fetches(module)
    with tempfile.TemporaryDirectory() as folder:
        tried = _write(model, Path(folder))
        gc.collect()  # frees the network before its files are loaded: a large model must not be in memory twice
        answers.of_examples(model, saved_model.read(model, Path(folder) / "export"))
        if model.fit:
            networks.load(model, Path(folder) / "network")
    return tried


def _write(model: ModuleType, folder: Path) -> str:
    """Checks all that needs the network, and writes what is read of it later."""
    data, network = model.data(), model.network()
    _check_data(model, data)
    if network is None:
        raise mistake(model, "network() returns nothing: it must return a keras.Model or a tf.Module")
    named = signatures.of_model(model, network)
    default = named[signatures.DEFAULT]
    form = saved_model.original(model, network)
    functions = saved_model.traced(model, form)
    _check_labels(model, default)
    tried = _try_metrics(scoring.HeldOut(model, data.held_out, default), default)
    _check_examples(model, named, functions)
    for variant in model.VARIANTS:
        (variants.int8 if variant.technique == "int8" else variants.litert)(model, network)
    saved_model.save(model, form, folder / "export")
    if model.fit:
        fitting.save(network, model, folder / "network")
    return tried


def _check_data(model: ModuleType, data: Any) -> None:
    if not isinstance(data, Data) or data.held_out.inputs is None:
        raise mistake(model, "data() must return Data(train=Split(…), held_out=Split(…))")
    if model.fit and data.train.inputs is None:
        raise mistake(model, "data() gives no training data, and there is a fit()")
    if not batches.is_stream(data.train.inputs):
        try:
            batches.length(batches.Batch(data.train.inputs, data.train.targets, data.train.weights))
        except ValueError as error:
            raise mistake(model, f"its training data cannot be read: {error}") from error


def _check_labels(model: ModuleType, signature: Signature) -> None:
    """LABELS are the classes of an output with one value for each; of two classes, one value may be the score of the second."""
    given = [model.PREDICTIONS] if isinstance(model.PREDICTIONS, str) else list(model.PREDICTIONS or signature.outputs)
    scores = {name: spec.shape for name, spec in signature.outputs.items() if name in given and spec.dtype.is_floating}
    counts = {name: shape[-1] for name, shape in scores.items() if (shape.rank or 0) > 1 and shape[-1]}
    if not model.LABELS or len(counts) != 1:
        return  # the classes may be those of another output
    ((name, values),) = counts.items()
    if values != len(model.LABELS) and (values, len(model.LABELS)) != (1, 2):
        each = f"output {name!r} has {values} value{'s' * (values > 1)} for each example"
        raise mistake(model, f"LABELS names {len(model.LABELS)} classes, and {each}")


def _check_examples(model: ModuleType, named: dict[str, Signature], functions: dict[str, Any]) -> None:
    """EXAMPLES against an untrained network: their form, and the outputs that no training changes."""
    examples = answers.of_examples(model, named)
    answers.check_form(model, examples, named)
    settled = {name: graphs.settled(functions[name]) if model.fit else set(named[name].outputs) for name in named}
    answers.check_settled(model, examples, settled)


def _try_metrics(held_out: Any, signature: Any) -> str:
    """Calls metrics() with untrained answers. Its error about their shapes is a defect; one about their values is not."""
    try:
        score = scoring.score(held_out, signature.ask, EXAMPLES)
    except (ValueError, ArithmeticError) as error:
        within = any(frame.name == "metrics" for frame in traceback.extract_tb(error.__traceback__))
        if not within or re.search("shape|broadcast|dimension|inconsistent", str(error)):
            raise
        return f"metrics() cannot judge an untrained network: {error}"
    return f"asked {score.examples} examples, untrained, and exported"
