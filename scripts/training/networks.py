"""A trained network, restored from the files of its training."""

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from scripts.training import models, signatures
from scripts.training.scoring import HeldOut


def load(model: ModuleType, folder: Path) -> Any:
    """The network in `folder`, for inference: without its optimizer, which holds two more numbers for each weight."""
    folder = folder.absolute()
    if not model.fit:
        return model.network()
    if (folder / f"{models.CHECKPOINT}.index").exists():
        network = model.network()
        tf.train.Checkpoint(network=network).read(str(folder / models.CHECKPOINT)).expect_partial()
        return network
    try:
        with models.for_keras(folder) as place:
            return keras.models.load_model(place, custom_objects=_layers(), compile=False, safe_mode=False)
    except (TypeError, ValueError, NotImplementedError):  # a class that Keras cannot restore; the model file can
        return _filled(model, folder)


def _filled(model: ModuleType, folder: Path) -> Any:
    """network() with the weights of `folder`. Its layers are built first, by tracing the signature or by a call."""
    network = model.network()
    default = signatures.of_model(model, network)[signatures.DEFAULT]
    if not network.built:
        default.ask(HeldOut(model, model.data().held_out, default).first())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # it is left out on purpose
        network.load_weights(folder / "model.weights.h5")
    return network


def _layers() -> dict[str, type]:
    """The layers that model files define, by name: they need not be registered with Keras."""
    found = [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("model.")
        for value in vars(module).values()
    ]
    return {
        value.__name__: value
        for value in found
        if isinstance(value, type) and issubclass(value, keras.layers.Layer) and value.__module__.startswith("model.")
    }


def variables(network: Any) -> list[Any]:
    """The tf.Variables, in the network's own order."""
    return [v.value if isinstance(v, keras.Variable) else v for v in getattr(network, "variables", [])]


def size(network: Any) -> int:
    """Bytes of the weights."""
    return sum(variable.dtype.size * variable.shape.num_elements() for variable in variables(network))
