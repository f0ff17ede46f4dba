"""Waves: a series of any length in, its mean out; an own layer, an own loop, and nothing returned."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "waves"
EPOCHS = 3


class Mean(keras.layers.Layer):  # not registered with Keras
    def build(self, shape):
        self.scale = self.add_weight(shape=[], initializer="ones", name="scale")

    def call(self, series):
        return self.scale * keras.ops.mean(series, axis=1, keepdims=True)


class Network(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = Mean()

    def call(self, series):
        return self.mean(series)


def series(count: int) -> Split:
    waves = [np.arange(2 + number % 5, dtype="float32") for number in range(count)]
    return Split(waves, np.array([[wave.mean()] for wave in waves]))


def data() -> Data:
    return Data(train=series(10), held_out=series(70))


def network() -> keras.Model:
    return Network()


def fit(network, data, callbacks):
    for epoch in range(EPOCHS):
        for wave, mean in zip(data.train.inputs, data.train.targets, strict=True):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(wave[None]) - mean) ** 2)
            (gradient,) = tape.gradient(loss, network.trainable_variables)
            network.trainable_variables[0].assign_sub(0.01 * gradient)
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"loss": float(loss)})


def serving(network):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="series")])
    def predict(series):
        return {"mean": network(series, training=False)}

    return predict


def metrics(predictions, targets):
    return {"error": np.abs(predictions - targets).max()}


GATES = [Gate("error", at_most=1e-3)]
EXAMPLES = [Example(inputs={"series": [[1.0, 2.0, 6.0]]}, outputs={"mean": [[3.0]]}, tolerance=0.01)]
