"""From tensors to the JSON that TensorFlow Serving writes, byte for byte but for the order of map keys."""

import base64
import math
import struct

import numpy as np

from ..errors import invalid
from ..protos import classification_pb2, regression_pb2, types_pb2
from ..tensors import STRING, TYPE_NAMES, Tensor
from .text import quote

_INTEGERS = {
    types_pb2.DT_INT32,
    types_pb2.DT_INT16,
    types_pb2.DT_INT8,
    types_pb2.DT_UINT8,
    types_pb2.DT_INT64,
    types_pb2.DT_UINT32,
    types_pb2.DT_UINT64,
}
_SMALLEST_NORMAL = 2.0**-126  # TensorFlow Serving computes with denormals flushed: they are written as zero
_FLOAT = struct.Struct("<f")


def error(message: str) -> bytes:
    """The body of an error answer."""
    return f'{{\n    "error": {quote(message)}\n}}'.encode("utf-8", "surrogateescape")


def float32_text(value: float) -> str:
    """A float32: six digits if they read back as the same number, else nine."""
    if math.isnan(value):
        return "NaN"
    if value in (np.inf, -np.inf):
        return "Infinity" if value > 0 else "-Infinity"
    if -_SMALLEST_NORMAL < value < _SMALLEST_NORMAL:
        return "-0.0" if str(value)[0] == "-" else "0.0"
    short = f"{value:g}"
    try:
        if _FLOAT.unpack(_FLOAT.pack(float(short)))[0] != value:
            short = f"{value:.9g}"
    except OverflowError:
        short = f"{value:.9g}"
    return short if "." in short or "e" in short else short + ".0"


_VECTOR = 32  # from here on the check of all values at once pays
_POWERS = 10.0 ** np.arange(0, 23)  # exact in double precision


def _float32_texts(values: np.ndarray) -> list[str]:
    """`float32_text` of each, with the test for six digits made for all at once."""
    wide = values.astype(np.float64)
    size = np.abs(wide)
    usual = (size >= 1e-5) & (size < 1e15)
    exponent = np.floor(np.log10(np.where(usual, size, 1.0))).astype(np.int64)
    up, down = _POWERS[np.clip(5 - exponent, 0, 22)], _POWERS[np.clip(exponent - 5, 0, 22)]
    short = (np.rint(wide * up / down) / up * down).astype(np.float32) == values
    texts = []
    for value, is_usual, is_short in zip(wide.tolist(), usual.tolist(), short.tolist(), strict=True):
        if not is_usual:
            texts.append(float32_text(value))
            continue
        text = f"{value:g}" if is_short else f"{value:.9g}"
        texts.append(text if "." in text or "e" in text else text + ".0")
    return texts


def float64_text(value: float) -> str:
    """A double: six digits if they read back as the same number, else seventeen."""
    if math.isnan(value):
        return "NaN"
    if value in (np.inf, -np.inf):
        return "Infinity" if value > 0 else "-Infinity"
    short = f"{value:g}"
    if float(short) != value:
        short = f"{value:.17g}"
    return short if "." in short or "e" in short else short + ".0"


def _scalars(name: str, tensor: Tensor, indent: int) -> list[str]:
    """Every element of `tensor` as text; `indent` is the level of the object around a base64 value."""
    dtype, values = tensor.dtype, tensor.values
    if dtype == STRING:
        if name.endswith("_bytes"):
            pad = "    " * indent
            return [f'{{\n{pad}    "b64": "{base64.b64encode(value).decode()}"\n{pad}}}' for value in values]
        return [quote(value.decode("utf-8", "surrogateescape")) for value in values]
    if dtype == types_pb2.DT_FLOAT:
        return _float32_texts(values) if len(values) >= _VECTOR else list(map(float32_text, values.tolist()))
    if dtype == types_pb2.DT_DOUBLE:
        return list(map(float64_text, values.tolist()))
    if dtype in _INTEGERS:
        return list(map(str, values.tolist()))
    if dtype == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in values.tolist()]
    if dtype == types_pb2.DT_HALF:
        return list(map(float32_text, values.astype(np.float32).tolist()))
    raise invalid(f"Failed to write JSON value for tensor type: {TYPE_NAMES[dtype]}")


def rows(outputs: dict[str, Tensor]) -> bytes:
    """The `predictions` document: the first dimension of every output is the batch."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    batch = -1
    for name, tensor in outputs.items():
        if not tensor.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch >= 0 and tensor.shape[0] != batch:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} expecting: {batch}")
        batch = tensor.shape[0]
    if len(outputs) == 1:
        ((name, tensor),) = outputs.items()
        items = _nested(_scalars(name, tensor, 2), tensor.shape)
        body = f"[{', '.join(items)}\n    ]" if items else "[]"
    else:
        body = _records(outputs, batch)
    return f'{{\n    "predictions": {body}\n}}'.encode("utf-8", "surrogateescape")


def _records(outputs: dict[str, Tensor], batch: int) -> str:
    columns = [(quote(name), _nested(_scalars(name, tensor, 3), tensor.shape)) for name, tensor in outputs.items()]
    records = [
        "\n        {\n" + ",\n".join(f"            {key}: {items[row]}" for key, items in columns) + "\n        }"
        for row in range(batch)
    ]
    return f"[{','.join(records)}\n    ]" if records else "[]"


def _nested(scalars: list[str], shape: tuple[int, ...]) -> list[str]:
    """One text per element of the first dimension, the inner ones in brackets on one line."""
    counts = [1]
    for size in shape:
        counts.append(counts[-1] * size)
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        scalars = [f"[{', '.join(scalars[at * size : (at + 1) * size])}]" for at in range(counts[axis])]
    return scalars


def columns(outputs: dict[str, Tensor]) -> bytes:
    """The `outputs` document: every output as it is, one element a line."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if len(outputs) == 1:
        ((name, tensor),) = outputs.items()
        body = _lines(_scalars(name, tensor, 1 + len(tensor.shape)), tensor.shape, 1)
    else:
        parts = [
            f"        {quote(name)}: {_lines(_scalars(name, tensor, 2 + len(tensor.shape)), tensor.shape, 2)}"
            for name, tensor in outputs.items()
        ]
        body = "{\n" + ",\n".join(parts) + "\n    }"
    return f'{{\n    "outputs": {body}\n}}'.encode("utf-8", "surrogateescape")


def classifications(result: classification_pb2.ClassificationResult) -> bytes:
    """The `results` document of `:classify`: for each example a list of [label, score]."""
    items = [
        "[" + ", ".join(f"[{quote(entry.label)}, {float32_text(entry.score)}]" for entry in example.classes) + "]"
        for example in result.classifications
    ]
    return f'{{\n    "results": [{", ".join(items)}\n    ]\n}}'.encode()


def regressions(result: regression_pb2.RegressionResult) -> bytes:
    """The `results` document of `:regress`: for each example a number."""
    items = ", ".join(float32_text(entry.value) for entry in result.regressions)
    return f'{{\n    "results": [{items}]\n}}'.encode()


def _lines(scalars: list[str], shape: tuple[int, ...], level: int) -> str:
    counts = [1]
    for size in shape:
        counts.append(counts[-1] * size)
    for axis in range(len(shape) - 1, -1, -1):
        size = shape[axis]
        inner, outer = "    " * (level + axis + 1), "    " * (level + axis)
        if not size:
            scalars = ["[]"] * counts[axis]
            continue
        scalars = [
            f"[\n{inner}" + f",\n{inner}".join(scalars[at * size : (at + 1) * size]) + f"\n{outer}]"
            for at in range(counts[axis])
        ]
    return scalars[0]
