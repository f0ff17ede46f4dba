"""Parcels: a picture and its measures in, two heads out; examples that count differently."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "parcels"
LABELS = ("flat", "box")


def parcels(count: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    kind = random.integers(0, 2, count)
    picture = np.repeat(kind, 16).reshape(count, 4, 4, 1).astype("float32")
    measures = random.uniform(0, 1, [count, 2]).astype("float32")
    return Split(
        {"picture": picture, "measures": measures},
        {"kind": kind, "litres": measures.sum(1)},
        weights=random.uniform(0.5, 1.5, count).astype("float32"),
    )


def data() -> Data:
    return Data(train=parcels(64, 1), held_out=parcels(70, 2))


def network() -> keras.Model:
    picture, measures = keras.Input([4, 4, 1], name="picture"), keras.Input([2], name="measures")
    kind = keras.layers.Dense(2, activation="softmax", name="kind")(keras.layers.Flatten()(picture))
    litres = keras.layers.Dense(1, name="litres")(measures)
    model = keras.Model({"picture": picture, "measures": measures}, {"kind": kind, "litres": litres})
    losses = {"kind": "sparse_categorical_crossentropy", "litres": "mse"}
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=losses)
    return model


def fit(network, data, callbacks):
    train = data.train
    weights = {"kind": train.weights, "litres": train.weights}
    return network.fit(
        train.inputs, train.targets, sample_weight=weights, batch_size=16, epochs=30, verbose=0, callbacks=callbacks
    )


def serving(network):
    specs = [tf.TensorSpec([None, 4, 4, 1], name="picture"), tf.TensorSpec([None, 2], name="measures")]

    @tf.function(input_signature=specs)
    def predict(picture, measures):
        heads = network({"picture": picture, "measures": measures}, training=False)
        return heads | {"label": tf.gather(LABELS, tf.argmax(heads["kind"], 1))}

    return predict


def metrics(predictions, targets, weights):
    right = predictions["kind"].argmax(1) == targets["kind"]
    error = np.abs(predictions["litres"][:, 0] - targets["litres"])
    return {"accuracy": np.average(right, weights=weights), "error": np.average(error, weights=weights)}


GATES = [Gate("accuracy", at_least=0.9, slack=0.05), Gate("error", at_most=0.3, slack=0.1)]

EXAMPLES = [
    Example(
        inputs={"picture": np.ones([1, 4, 4, 1]), "measures": np.array([[0.5, 0.5]])},
        outputs={"kind": [[0.0, 1.0]], "litres": [[1.0]], "label": ["box"]},
        tolerance={"kind": 0.4, "litres": 0.5},
    )
]
