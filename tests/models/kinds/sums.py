"""Sums: rows from a stream, counted batch by batch; prepared by a pool of processes."""

import multiprocessing

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "sums"


def row(number: int) -> list[float]:
    return np.random.default_rng(number).uniform(-1, 1, 3).tolist()


def data() -> Data:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        inputs = np.array(pool.map(row, range(102)), "float32")
    rows = tf.data.Dataset.from_tensor_slices((inputs, inputs.sum(1, keepdims=True)))
    return Data(train=Split(rows.take(32)), held_out=Split(rows.skip(32)))


def network() -> keras.Model:
    model = keras.Sequential(
        [keras.Input([3]), keras.layers.Dense(1, kernel_initializer="ones", dtype="mixed_float16")]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    return model


def fit(network, data, callbacks):
    history = network.fit(data.train.inputs.batch(8), epochs=2, verbose=0, callbacks=callbacks)
    return history.history


def serving(network):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="row")])
    def predict(row):
        return {"sum": network(row, training=False)}

    return predict


def metrics():
    return {"error": keras.metrics.MeanAbsoluteError(), "bias": keras.metrics.MeanSquaredError()}


GATES = [Gate("error", at_most=0.01)]
EXAMPLES = [Example(inputs={"row": [[1, 2, 3.5]]}, outputs={"sum": [[6.5]]}, tolerance=0.01)]
