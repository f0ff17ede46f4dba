"""Taxi fares: named columns of several types in, three outputs of several types out."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split, Tolerance

NAME = "fares"
PREDICTIONS = "fare"
ZONES = ["centre", "münchen", "аэропорт"]
BASE = 3.0


def rides(count: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    zone = random.integers(0, len(ZONES), count)
    columns = {
        "kilometres": random.uniform(1, 20, count)[:, None],  # float64: cast to what the signature takes
        "passengers": random.integers(1, 5, count)[:, None],
        "zone": np.array(ZONES, object)[zone][:, None],
    }
    return Split(columns, BASE + 2 * columns["kilometres"] + 5 * zone[:, None])


def data() -> Data:
    return Data(train=rides(64, 1), held_out=rides(100, 2))


def network() -> keras.Model:
    kilometres, zone = keras.Input([1], name="kilometres"), keras.Input([1], name="zone", dtype="string")
    scaled = keras.layers.Normalization(mean=0.0, variance=1.0)(kilometres)
    known = keras.layers.StringLookup(vocabulary=ZONES, num_oov_indices=0, output_mode="one_hot")(zone)
    fare = keras.layers.Dense(1)(keras.layers.Concatenate()([scaled, known]))
    model = keras.Model({"kilometres": kilometres, "zone": zone}, fare)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    return model


def fit(network, data, callbacks):
    network.layers[-1].set_weights([np.array([[2.0], [0.0], [5.0], [10.0]]), np.array([BASE])])
    inputs = data.train.inputs
    columns = {"kilometres": inputs["kilometres"], "zone": tf.constant(inputs["zone"].tolist())}
    return network.fit(columns, data.train.targets, epochs=1, verbose=0, callbacks=callbacks)


def serving(network):
    columns = {
        "kilometres": tf.TensorSpec([None, 1], tf.float32),
        "passengers": tf.TensorSpec([None, 1], tf.int64),
        "zone": tf.TensorSpec([None, 1], tf.string),
    }

    @tf.function(input_signature=[columns])
    def predict(columns):
        fare = network({name: columns[name] for name in ("kilometres", "zone")}, training=False)
        seats = columns["passengers"] + 2**53
        return {"fare": fare, "far": fare > 20, "seats": seats, "size": tf.where(seats > 2**53 + 2, "van", "car")}

    return predict


def metrics(predictions, targets, inputs):
    error = np.abs(predictions - targets)
    return {"error": error.max(), "error_at_airport": error[inputs["zone"] == ZONES[2]].max()}


GATES = [Gate("error", at_most=0.01, slack=0.01), Gate("error_at_airport", at_most=0.01, slack=0.01)]

EXAMPLES = [
    Example(
        inputs={"kilometres": [[10.0], [2]], "passengers": [[1], [4]], "zone": [["münchen"], ["аэропорт"]]},
        outputs={
            "fare": [[28], [17.0]],
            "far": [[True], [False]],
            "seats": [[2**53 + 1], [2**53 + 4]],
            "size": [["car"], ["van"]],
        },
        tolerance={"fare": Tolerance(absolute=0.01, relative=0.001)},
    )
]
