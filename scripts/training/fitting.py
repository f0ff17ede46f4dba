"""Fits a model and notes how it went: model/NAME.py → build/NAME/."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.release import identity
from scripts.training import models, surroundings
from scripts.training.faults import mistake
from scripts.workspace import console, files

SEED = 0
BACKUP_SECONDS = 60  # between two backups: a killed training loses at most this, and the epoch in progress


def train(module: str, quick: bool = False) -> str:
    """Fits `model/MODULE.py`, seeded, and writes build/MODULE/. history.json is written last: with it, the network is complete.

    `quick`: by the model's quick(), if it has one.
    """
    model, begin = prepare(module), time.monotonic()
    network, quick = model.network(), quick and bool(model.quick)
    history = _fit(module, model, network, quick) if model.fit else None
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
    files.remove(_backups(module))
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


def _fit(module: str, model: ModuleType, network: Any, quick: bool) -> Any:
    import keras

    with console.Progress("train") as progress:
        callbacks = [_watch(model, progress)]
        if quick:
            return model.quick(network, model.data(), callbacks)
        if isinstance(network, keras.Model) and network.built:  # Keras can restore only these
            callbacks.append(_backup(module))
        return model.fit(network, model.data(), callbacks)


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


def _backups(module: str) -> Path:
    return models.folder(module) / "backup"


def _backup(module: str) -> Any:
    """Keras's own backup, at most once in BACKUP_SECONDS. A killed training of the same code resumes from it."""
    import keras

    folder = _backups(module) / identity.of_model(module).trained[:12]

    class Backup(keras.callbacks.BackupAndRestore):
        def on_train_begin(self, logs: Any = None) -> None:
            self.last = time.monotonic()
            super().on_train_begin(logs)
            if begin := getattr(self.model, "_initial_epoch", 0):
                console.say(f"  train      {module}: goes on after epoch {begin}, where it was ended")
                console.say(
                    "             its weights may differ from those of one that was not: what is random begins anew"
                )

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if time.monotonic() - self.last >= BACKUP_SECONDS:
                super().on_epoch_end(epoch, logs)
                self.last = time.monotonic()

    return Backup(str(folder))
