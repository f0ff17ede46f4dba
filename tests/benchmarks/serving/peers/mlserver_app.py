"""MLServer: a custom runtime, in process (no parallel workers), by its V2 protocol over REST and gRPC."""

import asyncio
import os
import sys

import numpy as np
import tensorflow as tf
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class SavedModel(MLModel):
    async def load(self) -> bool:
        self._model = tf.saved_model.load(self.settings.parameters.uri)
        self._function = self._model.signatures["serving_default"]
        self._input = next(iter(self._function.structured_input_signature[1]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        instances = NumpyCodec.decode_input(payload.inputs[0])
        outputs = self._function(**{self._input: tf.constant(instances.astype(np.float32))})
        encoded = NumpyCodec.encode_output("predictions", next(iter(outputs.values())).numpy())
        return InferenceResponse(model_name=self.name, outputs=[encoded])


async def main(rest_port: int, grpc_port: int) -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=rest_port,
        grpc_port=grpc_port,
        metrics_port=rest_port + 1000,
        parallel_workers=0,
        debug=False,
        metrics_endpoint=None,
    )
    server = MLServer(settings)
    models = [
        ModelSettings(name=name, implementation=SavedModel, parameters={"uri": path})
        for name, path in (pair.split("=") for pair in os.environ["MODELS"].split(","))
    ]
    await server.start(models)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
