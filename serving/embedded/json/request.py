"""From a JSON request body to tensors: `instances` row by row, `inputs` column by column, `examples` by feature.

Error texts and the order of the checks are TensorFlow Serving's.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import errors
from ..errors import StatusError, invalid
from ..protos import types_pb2
from ..tensors import MAX_RANK, NUMPY, STRING, TYPE_NAMES, Tensor
from .numbers import Numbers
from .text import text, type_name

ROW, COLUMN = "row", "column"

# The range of a JSON number for each type. TensorFlow Serving reads the small types as 32 bits, and they wrap.
_INTEGER_RANGES = {
    types_pb2.DT_INT32: (-(1 << 31), (1 << 31) - 1),
    types_pb2.DT_INT16: (-(1 << 31), (1 << 31) - 1),
    types_pb2.DT_INT8: (-(1 << 31), (1 << 31) - 1),
    types_pb2.DT_UINT8: (-(1 << 31), (1 << 31) - 1),
    types_pb2.DT_INT64: (-(1 << 63), (1 << 63) - 1),
    types_pb2.DT_UINT32: (0, (1 << 32) - 1),
    types_pb2.DT_UINT64: (0, (1 << 64) - 1),
}
_FLOATS = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
_NUMBERS = {int, float}


def signature_name(document: dict[str, Any]) -> str:
    """The `signature_name` of a request; empty for the default."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {text(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def predict_inputs(document: dict[str, Any], inputs: Mapping[str, int]) -> tuple[dict[str, Tensor], str]:
    """The tensors of a `:predict` body for a signature's `inputs` (alias to type), and ROW or COLUMN."""
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {text(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist "
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise invalid(f"JSON Value: {text(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {text(document)} No values in 'instances' array")
        return _rows(instances, inputs), ROW
    if "inputs" in document:
        return _columns(document["inputs"], inputs), COLUMN
    raise invalid("Missing 'inputs' or 'instances' key")


def numeric_input(numbers: Numbers, inputs: Mapping[str, int]) -> dict[str, Tensor] | None:
    """The tensor of an array of numbers for a signature with one input; None if its type does not take them all."""
    if len(inputs) != 1:
        return None
    ((name, dtype),) = inputs.items()
    if dtype in _FLOATS:
        tensor = _float_array(numbers.values, set(), dtype, numbers.shape)
    elif dtype in _INTEGER_RANGES:
        tensor = _integer_array(numbers.values, set(map(type, numbers.values)), dtype, numbers.shape)
    else:
        return None
    return {name: tensor} if tensor is not None else None


# --- row form ---


def _rows(instances: list, inputs: Mapping[str, int]) -> dict[str, Tensor]:
    first = instances[0]
    if type(first) is not dict and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if _is_record(first):
        return _records(instances, inputs)
    name, dtype = next(iter(inputs.items()))
    tensor = _numeric(instances, dtype)
    if tensor is not None:
        return {name: tensor}
    column = _Column(name, dtype)
    for position, item in enumerate(instances):
        if _is_record(item):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
        try:
            column.add(item)
        except StatusError as error:
            raise invalid(f"Failed to process element: {position} of 'instances' list. Error: {error}") from None
    return {name: column.tensor(len(instances))}


def _records(instances: list, inputs: Mapping[str, int]) -> dict[str, Tensor]:
    columns: dict[str, _Column] = {}
    wanted = set(inputs)
    for position, item in enumerate(instances):
        if not _is_record(item):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        for key, value in item.items():
            try:
                if key not in inputs:
                    raise invalid(f"JSON object: does not have named input: {key}")
                column = columns.get(key)
                if column is None:
                    column = columns[key] = _Column(key, inputs[key])
                column.add(value)
            except StatusError as error:
                raise invalid(
                    f"Failed to process element: {position} key: {key} of 'instances' list. Error: {error}"
                ) from None
        if item.keys() != wanted:
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: {text(item)} keys must be "
                f"equal to: {','.join(sorted(wanted))}"
            )
    return {key: column.tensor(len(instances)) for key, column in columns.items()}


class _Column:
    """One input of a row-form request, collected item by item; every item must have the first one's shape."""

    def __init__(self, name: str, dtype: int) -> None:
        self._name, self._dtype = name, dtype
        self._shape: tuple[int, ...] | None = None
        self._values: list = []

    def add(self, item: Any) -> None:
        shape = _shape(item)
        before = len(self._values)
        if len(shape) <= MAX_RANK:
            _fill(item, 0, shape, self._dtype, self._values)
        if self._shape is None:
            self._shape = shape
            self._size = len(self._values)
        elif len(self._values) - before != self._size:
            raise invalid(f"Expecting tensor size: {self._size} but got: {len(self._values) - before}")
        elif shape != self._shape:
            raise invalid(f"Expecting shape {_shape_text(self._shape)} but got: {_shape_text(shape)}")

    def tensor(self, rows: int) -> Tensor:
        return _tensor(self._name, self._dtype, (rows, *(self._shape or ())), self._values)


# --- column form ---


def _columns(value: Any, inputs: Mapping[str, int]) -> dict[str, Tensor]:
    if type(value) is not dict or _is_base64(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        name, dtype = next(iter(inputs.items()))
        return {name: _column(name, value, dtype)}
    columns = {}
    for name, dtype in inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        columns[name] = _column(name, value[name], dtype)
    return columns


def _column(name: str, value: Any, dtype: int) -> Tensor:
    if type(value) is list:
        tensor = _numeric(value, dtype)
        if tensor is not None:
            return tensor
    shape = _shape(value)
    values: list = []
    if len(shape) <= MAX_RANK:
        _fill(value, 0, shape, dtype, values)
    return _tensor(name, dtype, shape, values)


# --- values ---


def _numeric(value: list, dtype: int) -> Tensor | None:
    """The tensor of a nested list of numbers, checked level by level at C speed; None if anything is irregular."""
    if dtype not in _FLOATS and dtype not in _INTEGER_RANGES:
        return None
    shape = [len(value)]
    while True:
        kinds = set(map(type, value))
        if kinds != {list}:
            break
        lengths = set(map(len, value))
        if len(lengths) != 1 or len(shape) >= MAX_RANK:
            return None
        shape.append(lengths.pop())
        value = [item for row in value for item in row]
    if dtype in _FLOATS:
        return _float_array(value, kinds, dtype, tuple(shape))
    return _integer_array(value, kinds, dtype, tuple(shape))


def _float_array(value: list, kinds: set[type], dtype: int, shape: tuple[int, ...]) -> Tensor | None:
    if not kinds <= _NUMBERS:
        return None
    # Through double, as TensorFlow Serving does: an integer of more than 24 bits is rounded once, not refused.
    # Packed, since NumPy takes three times as long to read a list.
    wide = np.frombuffer(struct.pack(f"<{len(value)}d", *value), "<f8")
    with np.errstate(over="ignore"):
        return Tensor(dtype, shape, wide.astype(NUMPY[dtype]))


def _integer_array(value: list, kinds: set[type], dtype: int, shape: tuple[int, ...]) -> Tensor | None:
    if kinds - {int}:
        return None
    low, high = _INTEGER_RANGES[dtype]
    if value and not (low <= min(value) and max(value) <= high):
        return None
    wide = np.uint64 if dtype == types_pb2.DT_UINT64 else np.int64
    return Tensor(dtype, shape, np.array(value, wide).astype(NUMPY[dtype]))


def _shape(value: Any) -> tuple[int, ...]:
    """The shape a nested list claims by its first elements."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _fill(value: Any, level: int, shape: tuple[int, ...], dtype: int, values: list) -> None:
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            raise invalid(
                f"JSON Value: {text(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{rank}"
            )
        values.append(_value(value, dtype))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, dtype, values)


def _value(value: Any, dtype: int) -> Any:
    """One JSON value as an element of type `dtype`."""
    kind = type(value)
    if kind is dict:
        if dtype != STRING:
            raise _type_error(value, dtype)
        return decode_base64(value)
    if dtype in _FLOATS:
        if kind in _NUMBERS:
            return value
    elif dtype in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[dtype]
        if kind is int and low <= value <= high:
            return value
    elif dtype == STRING:
        if kind is str:
            return value.encode("utf-8", "surrogateescape")
    elif dtype == types_pb2.DT_BOOL:
        if kind is bool:
            return value
    else:
        raise StatusError(errors.UNIMPLEMENTED, f"Conversion of JSON Value: {text(value)} to type: {TYPE_NAMES[dtype]}")
    raise _type_error(value, dtype)


def _type_error(value: Any, dtype: int) -> StatusError:
    return invalid(f"JSON Value: {text(value)} Type: {type_name(value)} is not of expected type: {TYPE_NAMES[dtype]}")


def _tensor(name: str, dtype: int, shape: tuple[int, ...], values: list) -> Tensor:
    """The tensor of values that `_value` has checked one by one."""
    if len(shape) > MAX_RANK:
        raise invalid(f"tensor parsing error: {name}")
    if dtype == STRING:
        return Tensor(dtype, shape, values)
    made = None
    if dtype in _FLOATS:
        made = _float_array(values, set(), dtype, shape)
    elif dtype in _INTEGER_RANGES:
        made = _integer_array(values, set(), dtype, shape)
    return made or Tensor(dtype, shape, np.array(values, NUMPY.get(dtype, np.float32)))


# --- base64 ---

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\s]")


def _is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def _is_record(value: Any) -> bool:
    return type(value) is dict and not _is_base64(value)


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of `{"b64": "…"}`; padding may be missing, white space is skipped."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {text(value)} not formatted correctly for base64 data")
    encoded = value["b64"]
    if not _NOT_BASE64.search(encoded):
        encoded = "".join(encoded.split())
        data = encoded.rstrip("=")
        padding = len(encoded) - len(data)
        needed = -len(data) % 4
        if "=" not in data and needed != 3 and padding in (0, needed):
            try:
                return base64.b64decode(data + "=" * needed)
            except binascii.Error:
                pass
    raise invalid("Unable to base64 decode")
