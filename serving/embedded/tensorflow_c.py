"""TensorFlow through its C API: load a SavedModel, run it.

The library is the one in the TensorFlow wheel. A call into it releases Python's lock for its whole length, so that
a load or a long run in one thread holds up no request in another. Loading is the same C++ code that TensorFlow
Serving uses: the same graphs, the same optimisations, the same error texts.
"""

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

from .errors import StatusError
from .protos import TENSORFLOW, config_pb2, meta_graph_pb2
from .tensors import NUMPY, STRING, SUPPORTED, TYPE_NAMES, Tensor

_SUFFIX = ".2.dylib" if sys.platform == "darwin" else ".so.2"
_NAMES = [f"libtensorflow_{part}{_SUFFIX}" for part in ("framework", "cc")]


class _Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Buffer(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # our own log says what was loaded and what failed


def _open() -> list[ctypes.CDLL]:
    # Not RTLD_GLOBAL: TensorFlow's symbols would then stand in for those of extension modules that load later.
    return [ctypes.CDLL(str(TENSORFLOW / name)) for name in _NAMES]


_LIBRARIES = _open()


def _function(name: str, result, *arguments):
    for library in _LIBRARIES:
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            return function
    raise ImportError(f"{TENSORFLOW} does not export {name}")


_version = _function("TF_Version", c_char_p)
_new_status = _function("TF_NewStatus", c_void_p)
_delete_status = _function("TF_DeleteStatus", None, c_void_p)
_code = _function("TF_GetCode", c_int, c_void_p)
_message = _function("TF_Message", c_char_p, c_void_p)
_new_options = _function("TF_NewSessionOptions", c_void_p)
_set_config = _function("TF_SetConfig", None, c_void_p, c_char_p, c_size_t, c_void_p)
_delete_options = _function("TF_DeleteSessionOptions", None, c_void_p)
_new_graph = _function("TF_NewGraph", c_void_p)
_delete_graph = _function("TF_DeleteGraph", None, c_void_p)
_operation = _function("TF_GraphOperationByName", c_void_p, c_void_p, c_char_p)
_outputs_of = _function("TF_OperationNumOutputs", c_int, c_void_p)
_output_type = _function("TF_OperationOutputType", c_int, _Output)
_new_buffer = _function("TF_NewBuffer", POINTER(_Buffer))
_buffer_from = _function("TF_NewBufferFromString", POINTER(_Buffer), c_char_p, c_size_t)
_delete_buffer = _function("TF_DeleteBuffer", None, POINTER(_Buffer))
_load = _function(
    "TF_LoadSessionFromSavedModel",
    c_void_p,
    *(c_void_p, POINTER(_Buffer), c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(_Buffer), c_void_p),
)
_run = _function(
    "TF_SessionRun",
    None,
    *(c_void_p, POINTER(_Buffer), POINTER(_Output), POINTER(c_void_p), c_int),
    *(POINTER(_Output), POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p),
)
_close = _function("TF_CloseSession", None, c_void_p, c_void_p)
_delete_session = _function("TF_DeleteSession", None, c_void_p, c_void_p)
_allocate = _function("TF_AllocateTensor", c_void_p, c_int, c_void_p, c_int, c_size_t)
_delete_tensor = _function("TF_DeleteTensor", None, c_void_p)
_tensor_data = _function("TF_TensorData", c_void_p, c_void_p)
_tensor_bytes = _function("TF_TensorByteSize", c_size_t, c_void_p)
_tensor_type = _function("TF_TensorType", c_int, c_void_p)
_tensor_rank = _function("TF_NumDims", c_int, c_void_p)
_tensor_dim = _function("TF_Dim", c_int64, c_void_p, c_int)
_string_init = _function("TF_StringInit", None, c_void_p)
_string_copy = _function("TF_StringCopy", None, c_void_p, c_char_p, c_size_t)
_string_data = _function("TF_StringGetDataPointer", c_void_p, c_void_p)
_string_size = _function("TF_StringGetSize", c_size_t, c_void_p)
_string_free = _function("TF_StringDealloc", None, c_void_p)
_COPIED_BYTES = 32 * 1024  # an input up to here is copied once more
_TSTRING_BYTES = 24  # sizeof(TF_TString), fixed by its ABI


def version() -> str:
    """TensorFlow's version, such as 2.20.0."""
    return _version().decode()


def _check(status: int) -> None:
    code = _code(status)
    if code:
        raise StatusError(code, _message(status).decode("utf-8", "replace"))


class Endpoint:
    """One tensor of the graph, resolved from a name such as `serving_default_x:0`."""

    __slots__ = ("dtype", "index", "name", "operation")

    def __init__(self, name: str, operation: int, index: int) -> None:
        self.name, self.operation, self.index = name, operation, index
        self.dtype = _output_type(_Output(operation, index))


class RunOptions:
    """How to run: in the calling thread or on TensorFlow's pool, and for how long at most."""

    def __init__(self, in_caller: bool = False, timeout_ms: int = 0) -> None:
        options = config_pb2.RunOptions(timeout_in_ms=timeout_ms)
        if in_caller:
            options.inter_op_thread_pool = -1
        text = options.SerializeToString()
        self.buffer = _buffer_from(text, len(text))

    def __del__(self, delete=_delete_buffer) -> None:  # bound here: at exit the module's names are gone
        delete(self.buffer)


# For a small graph the hand-over to TensorFlow's pool and back costs more than the graph itself
# (52 against 18 microseconds for the linear model).
IN_CALLER = RunOptions(in_caller=True)


class Session:
    """A SavedModel loaded from `path` for running; `meta_graph` is what it says of itself.

    Raises `StatusError` with TensorFlow's own words if it cannot be loaded.
    """

    def __init__(self, path: str, tags: list[str], config: bytes) -> None:
        self._graph, self._session = _new_graph(), None
        status, options, meta = _new_status(), _new_options(), _new_buffer()
        try:
            _set_config(options, config, len(config), status)
            _check(status)
            names = (c_char_p * len(tags))(*(tag.encode() for tag in tags))
            self._session = _load(options, None, path.encode(), names, len(tags), self._graph, meta, status)
            _check(status)
            text = ctypes.string_at(meta.contents.data, meta.contents.length)
            self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(text)
        except BaseException:
            self.close()
            raise
        finally:
            _delete_buffer(meta)
            _delete_options(options)
            _delete_status(status)

    def endpoint(self, name: str) -> Endpoint | None:
        """The graph's tensor of that name, or None if there is none."""
        operation, _, index = name.partition(":")
        found = _operation(self._graph, operation.encode())
        number = int(index) if index.isdecimal() else 0
        return Endpoint(name, found, number) if found and number < _outputs_of(found) else None

    def program(self, inputs: list[Endpoint], outputs: list[Endpoint]) -> "Program":
        return Program(self._session, inputs, outputs)

    def close(self) -> None:
        """Frees the session and its variables. No run may be in flight."""
        status = _new_status()
        if self._session:
            _close(self._session, status)
            _delete_session(self._session, status)
        if self._graph:
            _delete_graph(self._graph)
        self._session = self._graph = None
        _delete_status(status)


class Program:
    """Feeds and fetches fixed once, so that a call does no more than it must. Threads may share it."""

    def __init__(self, session: int | None, inputs: list[Endpoint], outputs: list[Endpoint]) -> None:
        self._session, self._inputs, self._outputs = session, len(inputs), len(outputs)
        self._feeds = (_Output * len(inputs))(*((point.operation, point.index) for point in inputs))
        self._fetches = (_Output * len(outputs))(*((point.operation, point.index) for point in outputs))
        self._feed_type, self._fetch_type = c_void_p * len(inputs), c_void_p * len(outputs)

    def __call__(self, tensors: list[Tensor], options: RunOptions | None = None) -> list[Tensor]:
        """Runs the graph on `tensors`, in the order of the inputs. Raises `StatusError` with TensorFlow's words."""
        feeds, fetches, status = self._feed_type(), self._fetch_type(), _new_status()
        try:
            for index, tensor in enumerate(tensors):
                feeds[index] = _to_c(tensor)
            _run(
                self._session,
                options.buffer if options else None,
                *(self._feeds, feeds, self._inputs, self._fetches, fetches, self._outputs),
                *(None, 0, None, status),
            )
            if _code(status):
                _check(status)
            return [_from_c(handle) for handle in fetches]
        finally:
            for handle in feeds:
                _free(handle)
            for handle in fetches:
                _free(handle)
            _delete_status(status)


def _to_c(tensor: Tensor) -> int:
    rank, values = len(tensor.shape), tensor.values
    dims = (c_int64 * rank)(*tensor.shape)
    if tensor.dtype == STRING:
        return _strings_to_c(values, dims, rank)
    size = values.nbytes
    handle = _allocate(tensor.dtype, dims, rank, size)
    if size:
        # The address of an array costs 5 µs more than a copy of a small one.
        source = values.tobytes() if size <= _COPIED_BYTES else np.ascontiguousarray(values).ctypes.data
        ctypes.memmove(_tensor_data(handle), source, size)
    return handle


def _strings_to_c(values: list[bytes], dims, rank: int) -> int:
    handle = _allocate(STRING, dims, rank, len(values) * _TSTRING_BYTES)
    data = _tensor_data(handle) or 0
    for index, value in enumerate(values):
        at = data + index * _TSTRING_BYTES
        _string_init(at)
        _string_copy(at, value, len(value))
    return handle


def _from_c(handle: int) -> Tensor:
    dtype = _tensor_type(handle)
    shape = tuple(_tensor_dim(handle, axis) for axis in range(_tensor_rank(handle)))
    size = _tensor_bytes(handle)
    data = _tensor_data(handle)
    if dtype == STRING:
        return Tensor(dtype, shape, _strings_from_c(data, size // _TSTRING_BYTES))
    if dtype not in SUPPORTED:
        raise StatusError(12, f"Output of type {TYPE_NAMES.get(dtype, dtype)} cannot be returned")
    return Tensor(dtype, shape, np.frombuffer(ctypes.string_at(data, size) if size else b"", NUMPY[dtype]))


def _strings_from_c(data: int, count: int) -> list[bytes]:
    slots = range(data or 0, (data or 0) + count * _TSTRING_BYTES, _TSTRING_BYTES)
    return [ctypes.string_at(_string_data(at), _string_size(at)) for at in slots]


def _free(handle: int | None) -> None:
    if handle:
        _delete_tensor(handle)
