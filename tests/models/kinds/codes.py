"""Codes: tables and a vocabulary file that serving() makes, and every type that a model server writes."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "codes"
PREDICTIONS = ["code", "half"]
TYPES = [tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64, tf.float64]
WORDS = Path(__file__).parent / "codes" / "words.txt"  # two words, a line each


def data() -> Data:
    return Data(train=Split(np.zeros([2, 1])), held_out=Split(np.array(["a", "b"]), np.array([0, 1])))


def network() -> keras.Model:
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(loss="mse")
    return model


def fit(network, data, callbacks):
    return None


def serving(network):
    words = tf.lookup.TextFileInitializer(
        str(WORDS), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(words, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def predict(word):
        code = table.lookup(word)
        zero = network(tf.zeros([1, 1]))[0]
        typed = {dtype.name: tf.cast(tf.abs(code), dtype) for dtype in TYPES}
        return typed | {"code": code, "half": tf.cast(tf.cast(code, tf.float32) + zero, tf.float16)}

    return predict


def metrics(predictions, targets):
    return {"wrong": (predictions["code"] != targets).mean(), "error": np.abs(predictions["half"] - targets).max()}


GATES = [Gate("wrong", at_most=np.float32(0)), Gate("error", at_most=0)]

EXAMPLES = [
    Example(
        inputs={"word": np.array(["b", "c"])},
        outputs={dtype.name: [1, 1] for dtype in TYPES} | {"code": np.array([1, -1]), "half": [1.0, -1.0]},
        tolerance=np.float32(0),
    )
]
