"""MLflow: a pyfunc model of one SavedModel, served by `mlflow models serve` (FastAPI under uvicorn, one worker)."""

import os
import sys

import mlflow.pyfunc
import numpy as np


class SavedModel(mlflow.pyfunc.PythonModel):
    def load_context(self, context) -> None:
        import tensorflow as tf

        self._tf = tf
        self._model = tf.saved_model.load(context.artifacts["model"])
        self._function = self._model.signatures["serving_default"]
        self._input = next(iter(self._function.structured_input_signature[1]))

    def predict(self, context, model_input, params=None):
        instances = np.asarray(model_input, np.float32)
        outputs = self._function(**{self._input: self._tf.constant(instances)})
        return next(iter(outputs.values())).numpy()


if __name__ == "__main__":
    folder, name = sys.argv[1:]
    path = dict(pair.split("=") for pair in os.environ["MODELS"].split(","))[name]
    mlflow.pyfunc.save_model(folder, python_model=SavedModel(), artifacts={"model": path}, pip_requirements=[])
