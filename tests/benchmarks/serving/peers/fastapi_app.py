"""FastAPI under uvicorn with uvloop and httptools, orjson both ways, the call on the event loop."""

import os

import numpy as np
import orjson
import tensorflow as tf
from fastapi import FastAPI, Request, Response

MODELS = {
    name: tf.saved_model.load(path) for name, path in (pair.split("=") for pair in os.environ["MODELS"].split(","))
}
FUNCTIONS = {name: model.signatures["serving_default"] for name, model in MODELS.items()}
INPUTS = {name: next(iter(function.structured_input_signature[1])) for name, function in FUNCTIONS.items()}
app = FastAPI()


@app.post("/v1/models/{name}")
async def predict(name: str, request: Request) -> Response:
    model = name.removesuffix(":predict")
    instances = np.asarray(orjson.loads(await request.body())["instances"], np.float32)
    outputs = FUNCTIONS[model](**{INPUTS[model]: tf.constant(instances)})
    predictions = next(iter(outputs.values())).numpy()
    return Response(
        orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )
