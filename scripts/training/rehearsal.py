"""Checks of an untrained model: seconds, before hours of training."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from model import Data
from scripts.training import answers, fitting, networks, saved_model, scoring, signatures, variants
from scripts.training.faults import mistake

EXAMPLES = 256  # at least so many of the held-out data, for the untrained network


def rehearse(module: str) -> str:
    """Goes the whole way with the untrained network: data, answers, metrics, examples, an export, and one answer of that."""
    model = fitting.prepare(module)
    data, network = model.data(), model.network()
    _check_data(model, data)
    if network is None:
        raise mistake(model, "network() returns nothing: it must return a keras.Model or a tf.Module")
    named = signatures.of_model(model, network)
    default = named[signatures.DEFAULT]
    held_out = scoring.HeldOut(model, data.held_out, default)
    tried = _try_metrics(held_out, default)
    answers.check_form(model, answers.of_examples(model, named))
    for variant in model.VARIANTS:
        (variants.int8 if variant.technique == "int8" else variants.litert)(model, network)
    with tempfile.TemporaryDirectory() as folder:
        saved_model.save(model, saved_model.original(model, network), Path(folder) / "export")
        answers.of_examples(model, saved_model.read(model, Path(folder) / "export"))
        if model.fit:
            fitting.save(network, model, Path(folder) / "network")
            networks.load(model, Path(folder) / "network")
    return tried


def _check_data(model: ModuleType, data: Any) -> None:
    if not isinstance(data, Data) or data.held_out.inputs is None:
        raise mistake(model, "data() must return Data(train=Split(…), held_out=Split(…))")
    if model.fit and data.train.inputs is None:
        raise mistake(model, "data() gives no training data, and there is a fit()")


def _try_metrics(held_out: Any, signature: Any) -> str:
    """Calls metrics() with untrained answers. An error about their shapes is a defect; one about their values is not."""
    try:
        score = scoring.score(held_out, signature.ask, EXAMPLES)
    except (ValueError, ArithmeticError) as error:
        if re.search("shape|broadcast|dimension|inconsistent", str(error)):
            raise
        return f"metrics() cannot judge an untrained network: {error}"
    return f"asked {score.examples} examples, untrained, and exported"
