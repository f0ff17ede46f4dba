"""Ray Serve: one replica that holds the models, behind Ray's HTTP proxy."""

import os
import sys
import time

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Models:
    def __init__(self, paths: dict[str, str]) -> None:
        import tensorflow as tf

        self._tf = tf
        self._models = {name: tf.saved_model.load(path) for name, path in paths.items()}
        self._functions = {name: model.signatures["serving_default"] for name, model in self._models.items()}

    async def __call__(self, request: Request) -> JSONResponse:
        name = request.url.path.rsplit("/", 1)[1].removesuffix(":predict")
        instances = np.asarray((await request.json())["instances"], np.float32)
        function = self._functions[name]
        key = next(iter(function.structured_input_signature[1]))
        predictions = next(iter(function(**{key: self._tf.constant(instances)}).values())).numpy()
        return JSONResponse({"predictions": predictions.tolist()})


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Models.bind(dict(pair.split("=") for pair in os.environ["MODELS"].split(","))), route_prefix="/")
    while True:
        time.sleep(60)
