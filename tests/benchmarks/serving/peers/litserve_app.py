"""LitServe: one LitAPI per model, on the CPU."""

import os
import sys

import litserve
import numpy as np


class Api(litserve.LitAPI):
    def __init__(self, path: str, **options) -> None:
        super().__init__(**options)
        self._path = path

    def setup(self, device: str) -> None:
        import tensorflow as tf

        self._tf, self._model = tf, tf.saved_model.load(self._path)
        self._function = self._model.signatures["serving_default"]
        self._input = next(iter(self._function.structured_input_signature[1]))

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["instances"], np.float32)

    def predict(self, instances: np.ndarray) -> np.ndarray:
        return next(iter(self._function(**{self._input: self._tf.constant(instances)}).values())).numpy()

    def encode_response(self, predictions: np.ndarray) -> dict:
        return {"predictions": predictions.tolist()}


if __name__ == "__main__":
    apis = [
        Api(path, api_path=f"/v1/models/{name}:predict")
        for name, path in (pair.split("=") for pair in os.environ["MODELS"].split(","))
    ]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
