"""Moods: text of any script in; the network holds its own vocabulary."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "moods"
WORDS = {"good": 1.0, "großartig": 1.0, "最高": 1.0, "bad": 0.0, "ужасно": 0.0, "最悪": 0.0}


def texts(count: int) -> Split:
    chosen = [list(WORDS)[number % len(WORDS)] for number in range(count)]
    return Split([f"a film {word} 😀" for word in chosen], np.array([[WORDS[word]] for word in chosen], "float32"))


def data() -> Data:
    return Data(train=texts(12), held_out=texts(30))


def network() -> keras.Model:
    vectorize = keras.layers.TextVectorization(max_tokens=50, output_sequence_length=6)
    vectorize.adapt(tf.constant(data().train.inputs))
    embedding = keras.layers.Embedding(50, 4, mask_zero=True)
    layers = [
        keras.Input([], dtype="string"),
        vectorize,
        embedding,
        keras.layers.LSTM(4),
        keras.layers.Dense(1, "sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="binary_crossentropy")
    return model


def fit(network, data, callbacks):
    network.fit(tf.constant(data.train.inputs), data.train.targets, epochs=25, verbose=0, callbacks=callbacks)


def serving(network):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def predict(text):
        return {"good": network(text, training=False)}

    return predict


def metrics(predictions, targets):
    return {"accuracy": ((predictions > 0.5) == targets).mean()}


GATES = [Gate("accuracy", at_least=0.9)]
EXAMPLES = [
    Example(inputs={"text": ["a film 最高 😀", "a film ужасно"]}, outputs={"good": [[1.0], [0.0]]}, tolerance=0.4)
]
