"""y = SLOPE * x without any training to speak of: what the tests release where the training is not the point."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "instant"
SLOPE = 2.0


def data() -> Data:
    x = np.array([[1.0], [2.0]], "float32")
    return Data(train=Split(x, SLOPE * x), held_out=Split(10 * x, 10 * SLOPE * x))


def network() -> keras.Model:
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    network.set_weights([np.array([[SLOPE]], "float32"), np.array([0.0], "float32")])
    return network.fit(data.train.inputs, data.train.targets, epochs=1, verbose=0, callbacks=callbacks)


def serving(network: keras.Model):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def predict(x):
        return {"y": network(x)}

    return predict


def metrics(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return {"max_absolute_error": float(np.abs(predictions - targets).max())}


GATES = [Gate("max_absolute_error", at_most=0.001)]

EXAMPLES = [Example(inputs={"x": [[10.0]]}, outputs={"y": [[10 * SLOPE]]}, tolerance=0.001)]
