"""The same inputs in every server's own request format."""

import json
import random
import struct

SHAPES = {"linear": (1,), "cnn": (28, 28, 1)}


def instances(model: str, batch: int) -> list:
    """`batch` inputs for a model: the same ones each time."""
    source = random.Random(f"{model}-{batch}")

    def make(shape: tuple[int, ...]) -> list | float:
        return [make(shape[1:]) for _ in range(shape[0])] if shape else round(source.random(), 4)

    return [make(SHAPES[model]) for _ in range(batch)]


def flat(value: list | float) -> list[float]:
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list) else [value]


def v1(model: str, batch: int) -> bytes:
    """TensorFlow Serving's, KServe's and our own peers': `instances`."""
    return json.dumps({"instances": instances(model, batch)}).encode()


def mlflow(model: str, batch: int) -> bytes:
    return json.dumps({"inputs": instances(model, batch)}).encode()


def v2(model: str, batch: int) -> bytes:
    """The Open Inference Protocol over REST."""
    tensor = {"name": "x", "shape": [batch, *SHAPES[model]], "datatype": "FP32", "data": flat(instances(model, batch))}
    return json.dumps({"inputs": [tensor]}).encode()


def _varint(value: int) -> bytes:
    data = b""
    while value >= 128:
        data, value = data + bytes((value & 0x7F | 0x80,)), value >> 7
    return data + bytes((value,))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _floats(model: str, batch: int) -> bytes:
    values = flat(instances(model, batch))
    return struct.pack(f"<{len(values)}f", *values)


def v2_grpc(model: str, batch: int) -> bytes:
    """ModelInferRequest: model_name, one input with its shape, the data raw."""
    shape = b"".join(_varint(size) for size in (batch, *SHAPES[model]))
    tensor = _field(1, b"x") + _field(2, b"FP32") + _field(3, shape)
    return _field(1, model.encode()) + _field(5, tensor) + _field(7, _floats(model, batch))


def predict_grpc(model: str, batch: int, alias: str) -> bytes:
    """PredictRequest: model_spec.name, and one input as tensor_content."""
    shape = b"".join(_field(2, b"\x08" + _varint(size)) for size in (batch, *SHAPES[model]))
    tensor = b"\x08\x01" + _field(2, shape) + _field(4, _floats(model, batch))
    entry = _field(1, alias.encode()) + _field(2, tensor)
    return _field(1, _field(1, model.encode())) + _field(2, entry)
