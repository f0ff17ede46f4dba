"""KServe's SDK: a Model per SavedModel, by the V1 protocol over REST and V2 over gRPC."""

import os
import sys

import numpy as np
import tensorflow as tf
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class SavedModel(Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._model = tf.saved_model.load(path)
        self._function = self._model.signatures["serving_default"]
        self._input = next(iter(self._function.structured_input_signature[1]))
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        is_v2 = isinstance(payload, InferRequest)
        instances = payload.inputs[0].as_numpy() if is_v2 else np.asarray(payload["instances"], np.float32)
        outputs = self._function(**{self._input: tf.constant(instances)})
        predictions = next(iter(outputs.values())).numpy()
        if not is_v2:
            return {"predictions": predictions.tolist()}
        output = InferOutput("predictions", list(predictions.shape), "FP32")
        output.set_data_from_numpy(predictions, binary_data=True)
        return InferResponse(payload.id or "", self.name, [output])


if __name__ == "__main__":
    models = [SavedModel(name, path) for name, path in (pair.split("=") for pair in os.environ["MODELS"].split(","))]
    server = ModelServer(
        http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1, access_log_format=None, enable_docs_url=False
    )
    server.start(models)
