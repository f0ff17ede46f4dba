"""Tensors as they pass between JSON, protocol buffers and TensorFlow."""

from typing import Any

import numpy as np

from .protos import tensor_pb2, types_pb2

STRING = types_pb2.DT_STRING

# bfloat16, which NumPy lacks, travels as its 16 bits.
NUMPY = {
    types_pb2.DT_FLOAT: np.dtype("<f4"),
    types_pb2.DT_DOUBLE: np.dtype("<f8"),
    types_pb2.DT_INT32: np.dtype("<i4"),
    types_pb2.DT_UINT8: np.dtype("u1"),
    types_pb2.DT_INT16: np.dtype("<i2"),
    types_pb2.DT_INT8: np.dtype("i1"),
    types_pb2.DT_COMPLEX64: np.dtype("<c8"),
    types_pb2.DT_INT64: np.dtype("<i8"),
    types_pb2.DT_BOOL: np.dtype("?"),
    types_pb2.DT_BFLOAT16: np.dtype("<u2"),
    types_pb2.DT_UINT16: np.dtype("<u2"),
    types_pb2.DT_COMPLEX128: np.dtype("<c16"),
    types_pb2.DT_HALF: np.dtype("<f2"),
    types_pb2.DT_UINT32: np.dtype("<u4"),
    types_pb2.DT_UINT64: np.dtype("<u8"),
}
SUPPORTED = frozenset(NUMPY) | {STRING}

# TensorFlow's own names for its types, as they stand in its error texts.
TYPE_NAMES = {number: name.removeprefix("DT_").lower() for name, number in types_pb2.DataType.items()}

MAX_RANK = 254  # TensorFlow's own limit
# A few bytes may claim a tensor of any size, to be filled with its last value. TensorFlow Serving fills what it is told
# to; here a tensor that is not sent in full has at most this many elements.
MAX_EXPANSION = 16 << 20

# The TensorProto field each type is written to.
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    STRING: "string_val",
}


class Tensor:
    """A dense tensor: TensorFlow's type number, the shape, and the elements in row-major order.

    `values` is a one-dimensional NumPy array, or for strings a list of bytes.
    """

    __slots__ = ("dtype", "shape", "values")

    def __init__(self, dtype: int, shape: tuple[int, ...], values: Any) -> None:
        self.dtype, self.shape, self.values = dtype, shape, values

    @property
    def size(self) -> int:
        """Bytes of data."""
        return sum(map(len, self.values)) if self.dtype == STRING else self.values.nbytes

    def __repr__(self) -> str:
        return f"Tensor({TYPE_NAMES[self.dtype]}, {self.shape})"


def element_count(shape: tuple[int, ...]) -> int | None:
    """How many elements a tensor of this shape has; None for a shape that TensorFlow refuses (or dies of)."""
    count = 1
    for size in shape:
        count *= size
        if size < 0 or count >= 1 << 63:
            return None
    return count if len(shape) <= MAX_RANK else None


def from_proto(proto: tensor_pb2.TensorProto) -> Tensor | None:
    """The tensor in `proto`, or None where TensorFlow's own `Tensor::FromProto` refuses it.

    Too few values repeat the last one (none at all: zeros); too many are ignored; `tensor_content` wins.
    """
    dtype = proto.dtype
    if dtype not in SUPPORTED or proto.tensor_shape.unknown_rank:
        return None
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = element_count(shape)
    if count is None:
        return None
    if proto.tensor_content:
        return _from_content(proto, dtype, shape, count)
    values = getattr(proto, _FIELDS[dtype])
    if count > len(values) and count > MAX_EXPANSION:
        return None
    if dtype == STRING:
        return Tensor(dtype, shape, _repeat_last(list(values[:count]), count))
    return Tensor(dtype, shape, _numbers(dtype, values, count))


def _from_content(proto: tensor_pb2.TensorProto, dtype: int, shape: tuple[int, ...], count: int) -> Tensor | None:
    content = proto.tensor_content
    if dtype == STRING:
        strings = _encoded_strings(content, count)
        return None if strings is None else Tensor(dtype, shape, strings)
    if len(content) != count * NUMPY[dtype].itemsize:
        return None
    return Tensor(dtype, shape, np.frombuffer(content, NUMPY[dtype]))


def _encoded_strings(content: bytes, count: int) -> list[bytes] | None:
    """TensorFlow's encoding of a string list: all lengths as varints, then all bytes."""
    sizes, at = [], 0
    for _ in range(count):
        size = shift = 0
        while True:
            if at >= len(content) or shift > 63:
                return None
            byte = content[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        sizes.append(size)
    if sum(sizes) != len(content) - at:
        return None
    strings = []
    for size in sizes:
        strings.append(content[at : at + size])
        at += size
    return strings


def _repeat_last(values: list, count: int) -> list:
    if len(values) == count:
        return values
    return values + [values[-1] if values else b""] * (count - len(values))


def _numbers(dtype: int, values, count: int) -> np.ndarray:
    if dtype in (types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128):
        parts = values[: min(count, len(values) // 2) * 2]
        flat = np.array(parts, "<f4" if dtype == types_pb2.DT_COMPLEX64 else "<f8").view(NUMPY[dtype])
    elif dtype == types_pb2.DT_HALF:
        flat = np.array(values[:count], np.int64).astype("<u2").view("<f2")
    else:
        # Through 64 bits, so that an int_val out of a small type's range wraps as it does in C++.
        flat = np.array(values[:count], _WIDE.get(dtype, NUMPY[dtype])).astype(NUMPY[dtype], copy=False)
    if len(flat) == count:
        return flat
    out = np.zeros(count, NUMPY[dtype])
    out[: len(flat)] = flat
    if len(flat):
        out[len(flat) :] = flat[-1]
    return out


_WIDE = {
    dtype: np.dtype("<i8")
    for dtype in (
        types_pb2.DT_UINT8,
        types_pb2.DT_INT16,
        types_pb2.DT_INT8,
        types_pb2.DT_UINT16,
        types_pb2.DT_BFLOAT16,
    )
}


def to_proto(tensor: Tensor, proto: tensor_pb2.TensorProto, as_content: bool = False) -> None:
    """Writes `tensor` into `proto`: typed fields as TensorFlow Serving does, or raw bytes with `as_content`."""
    proto.dtype = tensor.dtype
    proto.tensor_shape.SetInParent()
    for size in tensor.shape:
        proto.tensor_shape.dim.add().size = size
    values = tensor.values
    field = getattr(proto, _FIELDS[tensor.dtype])
    if tensor.dtype == STRING:
        field.extend(values)
    elif as_content:
        proto.tensor_content = values.tobytes()
    elif tensor.dtype == types_pb2.DT_HALF:
        field.extend(values.view("<u2").tolist())
    elif tensor.dtype in (types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128):
        field.extend(values.view("<f4" if tensor.dtype == types_pb2.DT_COMPLEX64 else "<f8").tolist())
    else:
        field.extend(values.tolist())
