"""Rents: what a flat is like in, what it can be let for and whether quickly out. Named columns of several types, and two answers.

The flats are made up: 4,000 of them, by a rule with noise, the same each time.
"""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split, Tolerance

NAME = "rents"
PREDICTIONS = ["rent", "quick"]
EPOCHS = 20
DISTRICTS = {"harbour": 14.0, "old town": 17.0, "hills": 12.0, "station": 10.0, "fields": 8.0}  # euros a square metre
HEATING = {"gas": 1.0, "district": 1.05, "heat pump": 1.12}
NUMBERS, WORDS = ["area", "rooms", "year"], {"district": list(DISTRICTS), "heating": list(HEATING)}
TYPES = {"area": tf.float32, "rooms": tf.int64, "year": tf.int64, "district": tf.string, "heating": tf.string}


def data() -> Data:
    random, count = np.random.default_rng(0), 4000
    area, year = random.uniform(20, 140, count), random.integers(1900, 2025, count)
    words = {name: random.choice(values, count) for name, values in WORDS.items()}
    price = np.array([DISTRICTS[d] * HEATING[h] for d, h in zip(words["district"], words["heating"], strict=True)])
    rent = area * price * (1 + np.abs(year - 1970) / 400) * random.normal(1, 0.03, count)
    quick = area / 40 - (price > 11) + random.normal(0, 0.2, count) < 1
    rooms = np.maximum(1, area // 25).astype("int64")
    columns = {"area": area.astype("float32"), "rooms": rooms, "year": year, **words}
    answers = {"rent": rent.astype("float32"), "quick": quick.astype("int64")}
    parts = slice(0, 3000), slice(3000, count)
    train, held_out = ([{k: v[part] for k, v in table.items()} for table in (columns, answers)] for part in parts)
    return Data(train=Split(*train), held_out=Split(*held_out))


def features(columns):
    """[N] by name → [N, 1] by name, and every number a float."""
    kinds = {name: tf.string if name in WORDS else tf.float32 for name in columns}
    return {name: tf.cast(columns[name], kind)[:, None] for name, kind in kinds.items()}


def network() -> keras.Model:
    columns, layers = features(data().train.inputs), keras.layers
    inputs = {name: keras.Input([1], name=name, dtype=column.dtype.name) for name, column in columns.items()}
    scaled = {name: layers.Normalization() for name in NUMBERS}
    for name, layer in scaled.items():
        layer.adapt(columns[name])
    ready = scaled | {name: layers.StringLookup(vocabulary=v, output_mode="one_hot") for name, v in WORDS.items()}
    hidden = layers.Concatenate()([ready[name](inputs[name]) for name in columns])
    for _ in range(2):
        hidden = layers.Dense(32, activation="relu")(hidden)
    rent = layers.Rescaling(1000.0, name="rent")(layers.Dense(1)(hidden))
    model = keras.Model(inputs, {"rent": rent, "quick": layers.Dense(1, "sigmoid", name="quick")(hidden)})
    losses = {"rent": "mean_absolute_percentage_error", "quick": "binary_crossentropy"}
    step = keras.optimizers.schedules.CosineDecay(1e-2, decay_steps=EPOCHS * -(-3000 // 128))
    model.compile(optimizer=keras.optimizers.Adam(step), loss=losses, loss_weights={"rent": 0.1, "quick": 1.0})
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    train = data.train
    return network.fit(
        features(train.inputs), train.targets, epochs=EPOCHS, batch_size=128, verbose=0, callbacks=callbacks
    )


def serving(network: keras.Model):
    @tf.function(input_signature=[{name: tf.TensorSpec([None], kind, name=name) for name, kind in TYPES.items()}])
    def predict(columns):
        return {name: answer[:, 0] for name, answer in network(features(columns), training=False).items()}

    return predict


def metrics(predictions: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> dict[str, float]:
    off = np.abs(predictions["rent"] / targets["rent"] - 1)
    right = (predictions["quick"] > 0.5) == targets["quick"]
    return {"rent_off_by": float(off.mean()), "quick_accuracy": float(right.mean())}


GATES = [Gate("rent_off_by", at_most=0.05, slack=0.005), Gate("quick_accuracy", at_least=0.9, slack=0.02)]

EXAMPLES = [
    Example(
        inputs={
            "area": [24.0, 120.0],
            "rooms": [1, 4],
            "year": [1970, 2010],
            "district": ["harbour", "old town"],
            "heating": ["gas", "heat pump"],
        },
        outputs={"rent": [336.0, 2513.0], "quick": [1.0, 0.0]},
        tolerance={"rent": Tolerance(relative=0.1), "quick": 0.2},
    )
]
