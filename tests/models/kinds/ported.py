"""Ported: a SavedModel of a tf.Module with a table of its own, trained elsewhere; two signatures."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "ported"
REGIONS = ["eu", "us"]


def data() -> Data:
    return Data(held_out=Split((np.array([[1.0], [2.0]]), np.array(REGIONS)), np.array([1.0, 4.0])))


def network():
    return tf.saved_model.load(str(Path(__file__).parent / "ported" / "saved"))


def serving(network):
    return {"serving_default": network.priced, "regions": network.regions}


def metrics(predictions, targets):
    return {"error": np.abs(predictions - targets).max()}


GATES = [Gate("error", at_most=0.001)]

EXAMPLES = [
    Example(inputs={"amount": [[3.0]], "region": ["us"]}, outputs={"price": [6.0]}, tolerance=0.001),
    Example(inputs={"region": ["us", "nowhere"]}, outputs={"number": [1, -1]}, signature="regions"),
]
