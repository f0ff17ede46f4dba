"""Fits a model and notes how it went: model/NAME.py → build/NAME/."""

import math
import time
from pathlib import Path

from scripts.release import releases
from scripts.training import models
from scripts.workspace import console, files
from scripts.workspace.errors import YourTurn

SEED = 0


def train(module: str) -> str:
    """Fits `model/MODULE.py`, seeded, and writes build/MODULE/; history.json comes last and vouches for model/."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session()  # its counters name the layers: of a model trained second, too, as of one trained alone
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    model, begin = models.load(module), time.monotonic()
    folder, network = Path("build") / module, model.network()
    with console.Progress("train") as progress:
        history = model.fit(network, model.data(), [_watch(module, progress)])
    models.save(network, module)
    loss = [float(value) for value in history.history["loss"]]
    record = {
        "id": releases.identity([module]),
        "model": files.sha256(models.weights(module)),
        "loss": loss,
        "seconds": time.monotonic() - begin,
    }
    files.write_json(folder / "history.json", record)
    return f"{module}: {len(loss)} epochs, loss {loss[-1]:.3g}"


def _watch(module: str, progress: console.Progress):
    """A Keras callback that shows each epoch, and ends a training whose loss is no number any more."""
    import keras

    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        loss = logs.get("loss", math.nan)
        if not math.isfinite(loss):
            problem = f"model/{module}.py: the loss is {loss} after epoch {epoch + 1}"
            raise YourTurn(problem, f"lower the step or check the data in model/{module}.py, then ./pipeline train")
        progress.show(epoch + 1, (callback.params or {})["epochs"], f"loss {loss:.3g}")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    return callback
