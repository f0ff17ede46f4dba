"""The work that `./pipeline up` contains and nothing else: import TensorFlow, fit, export, load."""

import sys
import tempfile

import tensorflow as tf

sys.path.insert(0, ".")
from model import linear_regression as model

network = model.network()
model.fit(network, model.data(), [])
with tempfile.TemporaryDirectory() as folder:
    network.export(folder, verbose=False)
    tf.saved_model.load(folder)
