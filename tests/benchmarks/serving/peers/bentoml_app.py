"""BentoML: a service with one method a model, in one worker."""

import os

import bentoml
import numpy as np
import tensorflow as tf

PATHS = dict(pair.split("=") for pair in os.environ["MODELS"].split(","))


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Models:
    def __init__(self) -> None:
        self._models = {name: tf.saved_model.load(path) for name, path in PATHS.items()}
        self._functions = {name: model.signatures["serving_default"] for name, model in self._models.items()}

    def _run(self, name: str, instances: np.ndarray) -> np.ndarray:
        function = self._functions[name]
        key = next(iter(function.structured_input_signature[1]))
        return next(iter(function(**{key: tf.constant(instances.astype(np.float32))}).values())).numpy()

    @bentoml.api
    def linear(self, instances: np.ndarray) -> np.ndarray:
        return self._run("linear", instances)

    @bentoml.api
    def cnn(self, instances: np.ndarray) -> np.ndarray:
        return self._run("cnn", instances)
