"""The protocol buffer messages of TensorFlow and TensorFlow Serving, without importing TensorFlow.

The generated modules live inside the `tensorflow` package, whose own import takes seconds and hundreds of
megabytes. A stand-in package with the same path lets them be found; it is taken away at once, so that whoever
imports TensorFlow later in this process gets the real one.
"""

import importlib.util
import sys
import types
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message


def _package_path() -> Path:
    spec = importlib.util.find_spec("tensorflow") if "tensorflow" not in sys.modules else None
    origin = spec.origin if spec else sys.modules["tensorflow"].__file__
    if not origin:
        raise ImportError("TensorFlow is not installed in this environment: install requirements/serve.txt")
    return Path(origin).parent


TENSORFLOW = _package_path()


@contextmanager
def _stand_in() -> Generator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = [str(TENSORFLOW)]
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


if TYPE_CHECKING:  # generated modules show their messages at run time only

    def __getattr__(name: str) -> Any: ...

else:
    with _stand_in():
        from tensorflow.core.example import example_pb2, feature_pb2
        from tensorflow.core.framework import tensor_pb2, types_pb2
        from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
        from tensorflow_serving.apis import (
            classification_pb2,
            get_model_metadata_pb2,
            get_model_status_pb2,
            inference_pb2,
            input_pb2,
            model_management_pb2,
            model_pb2,
            predict_pb2,
            prediction_log_pb2,
            regression_pb2,
        )
        from tensorflow_serving.config import model_server_config_pb2


def _descriptors() -> Any:
    from google.protobuf import descriptor_pb2

    return descriptor_pb2


def _messages() -> dict[str, type[Message]]:
    """The configuration messages that `tensorflow-serving-api` leaves out, made from their fields."""
    file = _descriptors().FileDescriptorProto(name="embedded/config.proto", package="embedded", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    text, flag, wrapped = "TYPE_STRING", "TYPE_BOOL", ".google.protobuf.Int64Value"
    definitions = {
        "SSLConfig": [("server_key", text), ("server_cert", text), ("custom_ca", text), ("client_verify", flag)],
        "PrometheusConfig": [("enable", flag), ("path", text)],
        "MonitoringConfig": [("prometheus_config", ".embedded.PrometheusConfig")],
        "BatchingParameters": [
            ("max_batch_size", wrapped),
            ("batch_timeout_micros", wrapped),
            ("max_enqueued_batches", wrapped),
            ("num_batch_threads", wrapped),
            ("thread_pool_name", ".google.protobuf.StringValue"),
            ("allowed_batch_sizes", "TYPE_INT64"),
            ("pad_variable_length_inputs", flag),
        ],
    }
    for name, fields in definitions.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            made = message.field.add(name=field, number=number, label="LABEL_OPTIONAL")
            if kind.startswith("."):
                made.type, made.type_name = made.TYPE_MESSAGE, kind
            else:
                made.type = made.Type.Value(kind)
            if field == "allowed_batch_sizes":
                made.label = made.LABEL_REPEATED
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"embedded.{name}")) for name in definitions
    }


CONFIGS = _messages()

__all__ = [
    "CONFIGS",
    "TENSORFLOW",
    "classification_pb2",
    "config_pb2",
    "example_pb2",
    "feature_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "predict_pb2",
    "prediction_log_pb2",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "types_pb2",
]
