"""Linear regression on y = 2x: the smallest model that is worth deploying well."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "linear_regression_model"
EPOCHS = 50  # of four steps, one for each example: to begin an epoch takes Keras longer than a step


def data() -> Data:
    x, far = np.array([[1.0], [2.0], [3.0], [4.0]], "float32"), np.array([[10.0], [20.0], [30.0]], "float32")
    return Data(train=Split(x, 2 * x), held_out=Split(far, 2 * far))


def network() -> keras.Model:
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    # RMSprop moves every weight by about the step itself, whatever the gradient: a constant 0.001 gets nowhere near y = 2x even
    # in 500 of them, a constant 0.1 swings around it for ever. So the step starts large and decays to nothing.
    step = keras.optimizers.schedules.CosineDecay(0.2, decay_steps=4 * EPOCHS)
    model.compile(optimizer=keras.optimizers.RMSprop(step), loss="mse")
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    return network.fit(
        data.train.inputs, data.train.targets, epochs=EPOCHS, batch_size=1, verbose=0, callbacks=callbacks
    )


def serving(network: keras.Model):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def predict(x):
        return {"y": network(x)}

    return predict


def metrics(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    error = np.abs(predictions - targets)
    return {"max_absolute_error": float(error.max()), "mean_absolute_error": float(error.mean())}


GATES = [Gate("max_absolute_error", at_most=0.05, slack=0.01)]

EXAMPLES = [
    Example(inputs={"x": [[10.0], [20.0], [30.0]]}, outputs={"y": [[20.0], [40.0], [60.0]]}, tolerance=0.05),
    Example(inputs={"x": [[-1.0]]}, outputs={"y": [[-2.0]]}, tolerance=0.05),
]
