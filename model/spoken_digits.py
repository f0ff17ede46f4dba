"""Spoken digits: a WAV recording of one English digit in, the digit out.

espeak-ng spoke the recordings; held out are voices never trained on.
"""

import io
import wave
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model import Data, Example, Gate, Split, Variant, b64

NAME = "spoken_digits"
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PREDICTIONS = "scores"
RECORDINGS = Path(__file__).parent / "spoken_digits" / "recordings.zip"  # made by record.py beside it
EPOCHS, BATCH, COPIES = 20, 32, 6
RATE = 8000  # Hz: others are brought to it
RATES = (8000, 48000)
MAX_SECONDS = 10
FRAMES, MELS = 98, 40  # of 25 ms every 10 ms: the loudest second of a recording
QUIET = 0.003  # −50 dB below full scale


def data() -> Data:
    random = np.random.default_rng(0)
    return Data(train=_recorded("train", COPIES, random), held_out=_recorded("held_out", 2, random))


def _recorded(part: str, copies: int, random: np.random.Generator) -> Split:
    """WAV files: every recording of `part` as often as `copies`, each time in another room, so to speak."""
    inputs, targets = [], []
    with zipfile.ZipFile(RECORDINGS) as archive:
        for name in sorted(name for name in archive.namelist() if name.startswith(part + "/")):
            with wave.open(io.BytesIO(archive.read(name))) as recording:
                samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2") / 32768
            inputs += [_wav(_disturbed(samples, random)) for _ in range(copies)]
            targets += [LABELS.index(Path(name).stem)] * copies
    return Split(np.array(inputs, object), np.array(targets))


def _disturbed(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Up to 12 % faster or slower, somewhere in 0.8 to 1.5 s of noise (5 to 40 dB below the voice, white to rumbling), and less loud."""
    speed = random.uniform(0.88, 1.12)
    samples = np.interp(np.arange(0, len(samples) - 1, speed), np.arange(len(samples)), samples)
    length = max(int(RATE * random.uniform(0.8, 1.5)), len(samples))
    noise = random.standard_normal(length)
    noise = np.convolve(noise, random.uniform(0, 0.97) ** np.arange(100), "same")
    level = np.sqrt((samples**2).mean() / (noise**2).mean()) * 10 ** (-random.uniform(5, 40) / 20)
    start = random.integers(0, length - len(samples) + 1)
    recording = level * noise
    recording[start : start + len(samples)] += samples
    return recording / np.abs(recording).max() * random.uniform(0.1, 1)


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, RATE, 0, "NONE", ""))
        recording.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="wav")])
def features(wav):
    """[N] WAV files (16-bit PCM) → [N, 98, 40, 1]: the log-mel spectrogram of the loudest second. Raises InvalidArgumentError."""
    tf.debugging.Assert(tf.size(wav) > 0, ["there is no recording in the request"])
    return tf.map_fn(_spectrogram, wav, fn_output_signature=tf.TensorSpec([FRAMES, MELS, 1], tf.float32))


def _spectrogram(wav):
    frames = tf.signal.stft(_samples(wav), frame_length=RATE // 40, frame_step=RATE // 100, fft_length=256)
    mel = tf.abs(frames) @ tf.signal.linear_to_mel_weight_matrix(MELS, 129, RATE, 80.0, 3800.0)
    loudness = tf.cumsum(tf.pad(tf.reduce_sum(mel, 1), [[1, 0]]))
    start = tf.argmax(loudness[FRAMES:] - loudness[:-FRAMES])
    loudest = tf.math.log(mel[start : start + FRAMES] + 1e-2)
    return ((loudest - tf.reduce_mean(loudest)) / tf.math.reduce_std(loudest))[..., None]


def _samples(wav):
    """At RATE, as loud as can be, at least a second; of a stereo recording the mean of both sides."""
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.strings.substr(wav, 0, 4) == b"RIFF", ["the recording is no WAV file"])]
    ):
        channels, rate = tf.audio.decode_wav(wav)  # refuses a file shorter than it says, and anything but 16-bit PCM
    tf.debugging.Assert(
        (rate >= RATES[0]) & (rate <= RATES[1]), ["the sample rate must be 8000 to 48000 Hz, not", rate]
    )
    seconds = tf.cast(tf.shape(channels)[0], tf.float32) / tf.cast(rate, tf.float32)
    tf.debugging.Assert(seconds <= MAX_SECONDS, [f"the recording is longer than {MAX_SECONDS} s:", seconds])
    samples = tf.reduce_mean(channels, 1)
    peak = tf.reduce_max(tf.abs(samples))
    tf.debugging.Assert(peak > QUIET, ["the recording is silent"])
    # An image of one column: resizing it is the one resampler with a low-pass filter that TensorFlow has as an op.
    length = tf.cast(tf.math.ceil(seconds * RATE), tf.int32)
    image = tf.image.resize(samples[:, None, None], [length, 1], "lanczos3", antialias=True)
    return tf.pad(image[:, 0, 0] / peak, [[0, tf.maximum(RATE - length, 0)]])


def network() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input([FRAMES, MELS, 1]),
            layers.RandomTranslation(
                0.1, 0.05, fill_mode="nearest"
            ),  # later or earlier, higher or lower; while training only
            # Along time only, with the frequencies as channels: 0.96 right for a third of the work that 0.98 takes in two dimensions.
            layers.Reshape([FRAMES, MELS]),
            layers.Conv1D(96, 5, strides=2, padding="same", activation="relu"),
            layers.Conv1D(96, 5, strides=2, padding="same", activation="relu"),
            layers.Conv1D(96, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(5),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    step = keras.optimizers.schedules.CosineDecay(1e-3, decay_steps=EPOCHS * 36 * len(LABELS) * COPIES // BATCH)
    model.compile(optimizer=keras.optimizers.Adam(step), loss="sparse_categorical_crossentropy")
    return model


def fit(network: keras.Model, data: Data, callbacks: list) -> keras.callbacks.History:
    heard = features(tf.constant(data.train.inputs))
    return network.fit(heard, data.train.targets, epochs=EPOCHS, batch_size=BATCH, verbose=0, callbacks=callbacks)


def serving(network: keras.Model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="wav")])
    def predict(wav):
        scores = network(features(wav), training=False)
        best = tf.argmax(scores, 1)
        return {"class": best, "label": tf.gather(LABELS, best), "scores": scores}

    return predict


def metrics(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The worst recall is of the digit that is recognised least often."""
    right = predictions.argmax(1) == targets
    recalls = [right[targets == digit].mean() for digit in range(len(LABELS))]
    loss = -np.log(np.maximum(predictions[np.arange(len(targets)), targets], 1e-9))
    return {"accuracy": float(right.mean()), "worst_recall": float(min(recalls)), "cross_entropy": float(loss.mean())}


# Reached: 0.963, and 0.875 for the worst digit. The distance to the gates is what other seeds, or another processor's rounding, may cost.
GATES = [Gate("accuracy", at_least=0.93, slack=0.02), Gate("worst_recall", at_least=0.70, slack=0.10)]

VARIANTS = [
    Variant("int8", size_at_most=0.35, metric="accuracy", loss_at_most=0.01),
    Variant("litert", size_at_most=0.35, metric="accuracy", loss_at_most=0.01),
]


def _example(*files: str, digits: list[int]) -> Example:
    """Recordings of voices that are not in training."""
    scores = np.eye(len(LABELS))[digits].tolist()
    return Example(
        inputs={"wav": [b64(f"spoken_digits/{file}") for file in files]},
        outputs={"class": digits, "label": [LABELS[digit] for digit in digits], "scores": scores},
        tolerance=0.3,  # of a score; a class and a label are right or wrong
    )


EXAMPLES = [_example("five.wav", digits=[5]), _example("two-stereo-16-khz.wav", "eight-noisy.wav", digits=[2, 8])]
