"""Trains each model: model/NAME.py -> build/NAME/model/ and history.json"""

import math
import time
from pathlib import Path

from scripts import _console, _files, _models, _release
from scripts._errors import YourTurn

NEEDS = "train"
SEED = 0

add_arguments = _models.add_argument


def run(model: list[str] | None) -> int:
    for module in _models.chosen(model):
        with _console.stage("train") as stage:
            stage.result = train(module)
    _console.say("next: ./pipeline evaluate")
    return 0


def train(module: str) -> str:
    """Fits `model/MODULE.py`, seeded, and writes build/MODULE/; history.json comes last and vouches for model/."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session()  # its counters name the layers: of a model trained second, too, as of one trained alone
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    model, begin = _models.load(module), time.monotonic()
    folder, network = Path("build") / module, model.network()
    with _console.Progress("train") as progress:
        history = model.fit(network, model.data(), [_watch(module, progress)])
    _models.save(network, module)
    loss = [float(value) for value in history.history["loss"]]
    record = {
        "id": _release.identity([module]),
        "model": _files.sha256(_models.weights(module)),
        "loss": loss,
        "seconds": time.monotonic() - begin,
    }
    _files.write_json(folder / "history.json", record)
    return f"{module}: {len(loss)} epochs, loss {loss[-1]:.3g}"


def _watch(module: str, progress: _console.Progress):
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
