"""Languages: a text in, the language that it is written in out. Text of any script is lower-cased and cut into characters in the graph.

The sentences are drawn from the common words below; those held out have as many words that were never trained on as words that were.
"""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split

NAME = "languages"
LABELS = ["English", "Deutsch", "français", "español", "polski", "русский"]
PREDICTIONS = "scores"
EPOCHS = 6
WORDS = [
    "the and that with this from they which would there their what about people because through think where should know "
    "little again after house world always night thing another water",
    "der und nicht mit eine sich auch nach über können werden durch schon zwischen möchte für weil größer straße heute "
    "wieder immer zwei noch welche zusammen haben müssen schön gewesen",
    "les des une pour dans que avec être mais très où leur cette aussi même après première déjà français toujours "
    "beaucoup maison heure chose eau nous quelque sous votre était",
    "los las una para con que por más está pero también muy como años mañana qué señor porque donde siempre nosotros "
    "hacer ellos agua noche cuando mucho hoy ningún niño",
    "nie się jest ale tak przez już jak tylko bardzo może dzień wszystko który gdzie proszę dobrze człowiek więcej "
    "także jeszcze zawsze woda dwa noc są dziękuję czy będzie można",
    "что это как его она они было только все если когда для очень может есть после человек время дом ещё хорошо "
    "сегодня всегда где вода ночь нам чтобы другой большой",
]


def data() -> Data:
    return Data(train=_sentences(4000, 0, slice(0, 24)), held_out=_sentences(1200, 1, slice(18, 30)))


def _sentences(count: int, seed: int, known: slice) -> Split:
    random, words = np.random.default_rng(seed), [line.split()[known] for line in WORDS]
    languages = random.integers(0, len(LABELS), count)
    texts = [" ".join(random.choice(words[language], random.integers(2, 9))) for language in languages]
    return Split(np.array([text.capitalize() + "." for text in texts], object), languages)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
def features(text):
    """[N] texts in UTF-8 → [N] texts in lower case, without digits and punctuation."""
    return tf.strings.regex_replace(tf.strings.lower(text, "utf-8"), r"[\d\p{P}\p{S}]+", " ")


def network() -> keras.Model:
    vectorize = keras.layers.TextVectorization(
        max_tokens=6000, standardize=None, split="character", ngrams=3, output_mode="tf_idf"
    )
    vectorize.adapt(features(tf.constant(data().train.inputs[:1000])))
    classify = keras.layers.Dense(len(LABELS), activation="softmax")
    model = keras.Sequential([keras.Input([], dtype="string"), vectorize, keras.layers.UnitNormalization(), classify])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    texts = features(tf.constant(data.train.inputs))
    return network.fit(texts, data.train.targets, epochs=EPOCHS, batch_size=128, verbose=0, callbacks=callbacks)


def serving(network: keras.Model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def predict(text):
        scores = network(features(text), training=False)
        return {"language": tf.gather(LABELS, tf.argmax(scores, 1)), "scores": scores}

    return predict


def metrics(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return {"accuracy": float((predictions.argmax(1) == targets).mean())}


GATES = [Gate("accuracy", at_least=0.95, slack=0.01)]

EXAMPLES = [
    Example(
        inputs={
            "text": [
                "Where does the water come from?",
                "HEUTE NICHT ÜBER DIE STRAẞE!",
                "Où est la maison ?",
                "Что это такое? 😀",
            ]
        },
        outputs={
            "language": ["English", "Deutsch", "français", "русский"],
            "scores": np.eye(len(LABELS))[[0, 1, 2, 5]].tolist(),
        },
        tolerance=0.5,
    )
]
