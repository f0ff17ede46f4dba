"""Handwritten digits: a picture of one digit in, the digit out. The pictures are scikit-learn's, rendered to PNG."""

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split, Variant, b64

NAME = "digits"
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PREDICTIONS = "scores"
EPOCHS, BATCH = 30, 32
SIDE = 16  # pixels of the picture as the network sees it; the data have 8
MAX_SIDE = 4096  # of a picture that is decoded: 16 MiB as grey values, while a PNG of 50 KB can unfold to gigabytes


def data() -> Data:
    """Held out is the last quarter, unshuffled: neighbours in the data set are often by one hand, and shuffling would put it in both."""
    from sklearn.datasets import load_digits  # not at the top: serving needs none

    digits = load_digits()
    pictures, split = _render(digits.images), len(digits.target) * 3 // 4
    return Data(
        train=Split(pictures[:split], digits.target[:split]), held_out=Split(pictures[split:], digits.target[split:])
    )


def _render(pictures: np.ndarray) -> np.ndarray:
    """[N, 8, 8] with values from 0 to 16 → N PNGs of 48 × 48: dark ink on white paper, with a margin."""
    large = tf.image.resize(pictures[..., None], [32, 32], method="bicubic")
    ink = tf.image.resize_with_crop_or_pad(tf.clip_by_value(large / 16, 0, 1), 48, 48)
    return np.array([tf.io.encode_png(page).numpy() for page in tf.cast(255 * (1 - ink), tf.uint8)], object)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
def features(image):
    """[N] PNG or JPEG → [N, 16, 16, 1]: ink is 1, paper is 0, the digit fills the picture. Raises InvalidArgumentError."""
    tf.debugging.Assert(tf.size(image) > 0, ["there is no image in the request"])
    return tf.map_fn(_picture, image, fn_output_signature=tf.TensorSpec([SIDE, SIDE, 1], tf.float32))


def _picture(encoded):
    with tf.control_dependencies([_check_size(encoded)]):
        grey = tf.io.decode_image(encoded, channels=1, expand_animations=False, dtype=tf.float32)
    low, high = tf.reduce_min(grey), tf.reduce_max(grey)
    light = (grey - low) / tf.maximum(high - low, 1e-6)
    border = tf.concat([light[0], light[-1], light[:, 0], light[:, -1]], 0)
    ink = tf.cond(tf.reduce_mean(border) > 0.5, lambda: 1 - light, lambda: light)  # dark on light, or light on dark
    tf.debugging.Assert(high - low > 0.1, ["the image is blank: there is no digit on it"])
    written = tf.where(ink[..., 0] > 0.3)  # beyond the noise of a JPEG
    (top, left), (bottom, right) = tf.unstack(tf.reduce_min(written, 0)), tf.unstack(tf.reduce_max(written, 0))
    digit = ink[top : bottom + 1, left : right + 1]
    return tf.clip_by_value(tf.image.resize_with_pad(digit, SIDE, SIDE, antialias=True), 0, 1)


def _check_size(encoded):
    """The sides stand in the header of both formats, so that no bomb is ever unfolded."""
    is_png, is_jpeg = tf.strings.substr(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n", tf.io.is_jpeg(encoded)
    kind = tf.debugging.Assert(is_png | is_jpeg, ["the image is neither a PNG nor a JPEG"])
    with tf.control_dependencies([kind]):
        sides = tf.cond(is_jpeg, lambda: tf.io.extract_jpeg_shape(encoded)[:2], lambda: _png_sides(encoded))
    small = tf.reduce_all((sides > 0) & (sides <= MAX_SIDE))
    return tf.debugging.Assert(small, [f"the image is larger than {MAX_SIDE} pixels on a side:", sides])


def _png_sides(encoded):
    header = tf.strings.substr(tf.strings.join([encoded, b"\0" * 24]), 16, 8)  # padded: a shorter file has none
    return tf.io.decode_raw(header, tf.int32, little_endian=False)


def network() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input([SIDE, SIDE, 1]),
            layers.RandomRotation(0.03, fill_mode="constant"),  # ± 11°, while training only, as the next two
            layers.RandomZoom((-0.1, 0.15), (-0.1, 0.15), fill_mode="constant"),
            layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    steps = EPOCHS * -(-1347 // BATCH)  # 1,347 are for training
    step = keras.optimizers.schedules.CosineDecay(2e-3, decay_steps=steps)
    model.compile(optimizer=keras.optimizers.Adam(step), loss="sparse_categorical_crossentropy")
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    pictures = features(tf.constant(data.train.inputs))
    return network.fit(pictures, data.train.targets, epochs=EPOCHS, batch_size=BATCH, verbose=0, callbacks=callbacks)


def serving(network: keras.Model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def predict(image):
        scores = network(features(image), training=False)
        best = tf.argmax(scores, 1)
        return {"class": best, "label": tf.gather(LABELS, best), "scores": scores}

    return predict


def metrics(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The worst recall is of the digit that is recognised least often."""
    right = predictions.argmax(1) == targets
    recalls = [right[targets == digit].mean() for digit in range(len(LABELS))]
    loss = -np.log(np.maximum(predictions[np.arange(len(targets)), targets], 1e-9))
    return {"accuracy": float(right.mean()), "worst_recall": float(min(recalls)), "cross_entropy": float(loss.mean())}


GATES = [Gate("accuracy", at_least=0.97, slack=0.01), Gate("worst_recall", at_least=0.90, slack=0.05)]

VARIANTS = [
    Variant("int8", size_at_most=0.35, metric="accuracy", loss_at_most=0.005),
    Variant("litert", size_at_most=0.35, metric="accuracy", loss_at_most=0.005),
]


def _example(*files: str, digits: list[int]) -> Example:
    scores = np.eye(len(LABELS))[digits].tolist()
    return Example(
        inputs={"image": [b64(f"digits/{file}") for file in files]},
        outputs={"class": digits, "label": [LABELS[digit] for digit in digits], "scores": scores},
        tolerance=0.2,  # of a score; a class and a label are right or wrong
    )


EXAMPLES = [_example("seven.png", digits=[7]), _example("four-light-on-dark.jpg", "three.png", digits=[4, 3])]
