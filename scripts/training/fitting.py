"""Fits a model and notes how it went: model/NAME.py → build/NAME/."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.training import backups, models, surroundings, together, workers
from scripts.training.faults import mistake
from scripts.workspace import console, files

SEED = 0


def train(module: str, quick: bool = False) -> str | None:
    """Fits `model/MODULE.py`, seeded, and writes build/MODULE/. history.json is written last: with it, the network is complete.

    `quick`: by the model's quick(), if it has one. Of several workers, the first one writes. Returns None where another one has gone.
    """
    model, begin = prepare(module), time.monotonic()
    quick = quick and bool(model.quick)
    try:
        network, history = _fitted(module, model, quick)
    except together.Lost:
        return None
    if number := workers.here().index:
        return f"{module}: took part as worker {number}"
    with files.directory(models.state(module)) as folder:
        if model.fit:
            save(network, model, folder)
    curves = _curves(history)
    record = {
        "parts": models.parts(module, "history.json"),
        "model": models.digest(module),
        "trained": bool(model.fit),
        "quick": quick,
        "curves": curves,
        "seconds": time.monotonic() - begin,
    }
    files.write_json(models.folder(module) / "history.json", record)
    return f"{module}: {_summary(model, curves)}{', quick: for no release' * quick}"


def prepare(module: str) -> ModuleType:
    """The model, in a process that is seeded and isolated from everything outside of the release."""
    import keras
    import tensorflow as tf

    surroundings.refuse_variables(module)
    surroundings.refuse_paths(module)
    surroundings.refuse_files(module)
    keras.utils.clear_session()  # resets the counters that name layers: a model's names must not depend on earlier models
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    return models.load(module)


def _fitted(module: str, model: ModuleType, quick: bool) -> tuple[Any, Any]:
    with together.joined(model) as strategy:
        with together.scope(strategy):
            network = model.network()
        return network, _fit(module, model, network, strategy, quick) if model.fit else None


def _fit(module: str, model: ModuleType, network: Any, strategy: Any, quick: bool) -> Any:
    data = model.data()
    surroundings.tell_fetches(module)
    with console.Progress("train") as progress, together.split(model, network, strategy):
        watch = _watch(model, progress)
        if quick:
            return model.quick(network, data, [watch])
        with backups.kept(module) as backup:
            return model.fit(network, data, [watch, backup])


def save(network: Any, model: ModuleType, folder: Path) -> None:
    """Writes the network to `folder`, not to an archive: Keras reads an archive's weights into memory before it loads them."""
    import keras
    import tensorflow as tf

    folder = folder.absolute()  # Keras drops the vocabularies of a network that it saves to a relative path
    if isinstance(network, keras.Model):
        with models.for_keras(folder) as place:
            network.save(place, zipped=False)
        return
    try:
        tf.train.Checkpoint(network=network).write(str(folder / models.CHECKPOINT))
    except ValueError:
        problem = f"network() must give a keras.Model or a tf.Module, or what a SavedModel holds, not {type(network).__name__}"
        raise mistake(model, problem) from None


def _curves(history: Any) -> dict[str, list[float | None]]:
    """Numbers by epoch from the result of fit(): Keras's History, a mapping, or nothing. NaN becomes null, since JSON has none."""
    given = getattr(history, "history", history)
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): [_finite(value) for value in values]
        for name, values in given.items()
        if isinstance(values, list | tuple)
    }


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _summary(model: ModuleType, curves: dict[str, list[float | None]]) -> str:
    if not model.fit:
        return "trained elsewhere: it has no fit()"
    loss = curves.get("loss")
    if not loss:
        return "fitted"
    return f"{len(loss)} epochs, loss {loss[-1]:.3g}" if loss[-1] is not None else f"{len(loss)} epochs"


def _watch(model: ModuleType, progress: console.Progress) -> Any:
    """A Keras callback that shows each epoch, and ends a training whose loss is NaN or infinite."""
    import keras

    def on_epoch_end(epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            problem = f"the loss is {loss} after epoch {epoch + 1}: lower the step, or check the data"
            raise mistake(model, problem)
        epochs = (callback.params or {}).get("epochs") or getattr(model, "EPOCHS", None)
        progress.show(epoch + 1, epochs, f"loss {loss:.3g}" if logs and "loss" in logs else "")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    return callback
