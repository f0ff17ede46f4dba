"""A servable: one version of one model, loaded, warmed up and counted while requests use it."""

import os
import re
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from . import errors, fence, onednn, tensors
from .errors import StatusError, invalid, not_found
from .pace import Pace
from .protos import meta_graph_pb2, prediction_log_pb2, saved_model_pb2
from .tensorflow_c import Endpoint, Program, Session
from .tensors import Tensor

DEFAULT_SIGNATURE = "serving_default"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
WARMUP_LIMIT = 1000  # TensorFlow Serving's own


@dataclass(frozen=True)
class Plan:
    """What to feed and fetch, resolved once, with how long it has taken so far."""

    program: Program
    pace: Pace


class Signature:
    """A signature of a loaded model. `definition` is TensorFlow's SignatureDef, `inputs` maps alias to type number."""

    def __init__(self, servable: "Servable", definition: meta_graph_pb2.SignatureDef) -> None:
        self.definition, self._servable = definition, servable
        self.inputs = {alias: info.dtype for alias, info in definition.inputs.items()}
        self.outputs = tuple(sorted(definition.outputs))
        defaults = {alias: tensors.from_proto(proto) for alias, proto in definition.defaults.items()}
        self.defaults = {alias: tensor for alias, tensor in defaults.items() if tensor is not None}
        self._plans: dict[tuple, Plan] = {}

    def plan(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Plan:
        """The plan that feeds `inputs` and fetches `outputs`, both aliases of this signature."""
        found = self._plans.get((inputs, outputs))
        if found is None:
            feeds = tuple(self.definition.inputs[alias].name for alias in inputs)
            fetches = tuple(self.definition.outputs[alias].name for alias in outputs)
            found = self._plans[inputs, outputs] = self._servable.plan(feeds, fetches)
        return found

    def check(self, alias: str, tensor: Tensor) -> None:
        """Refuses a tensor of another type than the signature's, in TensorFlow's words."""
        if tensor.dtype != self.inputs[alias]:
            wanted, got = tensors.TYPE_NAMES[self.inputs[alias]], tensors.TYPE_NAMES[tensor.dtype]
            position = sorted(self.inputs).index(alias)
            raise invalid(f"Expects arg[{position}] to be {wanted} but {got} is provided")


class Servable:
    """Version `version` of model `name`, loaded from `path`.

    Requests use it between `acquire` and `release`; `retire` refuses new ones and waits for those in flight.
    """

    def __init__(self, name: str, version: int, path: Path, tags: list[str], config: bytes) -> None:
        self.name, self.version, self.path = name, version, path
        _check_files(path)
        self._fenced = _fenced(path) if onednn.is_on() else None  # kept: its assets may be read at any request
        loaded = Path(self._fenced.name) if self._fenced else path
        self._session = Session(_without_patterns(loaded), tags, config)
        self.meta_graph = self._session.meta_graph
        try:
            _check_variables(path, self.meta_graph)
        except StatusError:
            self._session.close()
            raise
        self._bounded = not _LOOPS & _operations(self.meta_graph.graph_def)
        self.meta_graph.ClearField("graph_def")  # the graph lives in the session; the copy would double the memory
        self.meta_graph.ClearField("object_graph_def")
        self.signatures = {
            key: Signature(self, definition) for key, definition in self.meta_graph.signature_def.items()
        }
        self._plans: dict[tuple, Plan] = {}
        self.batching: Any = None  # this model's own BatchingParameters, if it brings some
        self._users, self._retired = 0, False
        self._idle = threading.Condition()

    def acquire(self) -> bool:
        """Counts one request in; False if the servable has been retired in the meantime."""
        with self._idle:
            if self._retired:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        with self._idle:
            self._users -= 1
            if not self._users:
                self._idle.notify_all()

    def retire(self) -> None:
        """Refuses new requests, waits until the last one in flight has ended, and frees the model."""
        with self._idle:
            self._retired = True
            self._idle.wait_for(lambda: not self._users)
        self._session.close()
        if self._fenced:
            self._fenced.cleanup()

    def signature(self, name: str) -> Signature | None:
        return self.signatures.get(name or DEFAULT_SIGNATURE)

    def plan(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Plan:
        """The plan that feeds and fetches these tensors of the graph. Raises NOT_FOUND if there is no such tensor."""
        found = self._plans.get((inputs, outputs))
        if found is None:
            feeds = [self._endpoint(name) for name in inputs]
            program = self._session.program(feeds, [self._endpoint(name) for name in outputs])
            has_strings = any(point.dtype == tensors.STRING for point in feeds)
            found = self._plans[inputs, outputs] = Plan(program, Pace(self._bounded and not has_strings))
        return found

    def _endpoint(self, name: str) -> Endpoint:
        point = self._session.endpoint(name)
        if point is None:
            raise StatusError(
                errors.NOT_FOUND,
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph",
            )
        return point


# Operations that make the time of a run depend on more than the size of its input.
_LOOPS = {"While", "StatelessWhile", "NextIteration", "PyFunc", "PyFuncStateless", "EagerPyFunc", "MapDefun"}


def _operations(graph) -> set[str]:
    found = {node.op for node in graph.node}
    for function in graph.library.function:
        found |= {node.op for node in function.node_def}
    return found


def _check_files(path: Path) -> None:
    if not path.is_dir():
        raise StatusError(errors.FAILED_PRECONDITION, f"{path}; Not a directory")
    if not any((path / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise not_found(
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {path}"
        )


def _fenced(path: Path) -> tempfile.TemporaryDirectory | None:
    """A copy of a model with checks in its graph, the other files as links; None where the graph has them, or needs none.

    An export of this repository has put them there. Nothing did for a model from elsewhere.
    """
    saved = saved_model_pb2.SavedModel()
    try:
        if (path / "saved_model.pb").exists():
            saved.ParseFromString((path / "saved_model.pb").read_bytes())
        else:
            text_format.Parse((path / "saved_model.pbtxt").read_text(), saved)
    except (DecodeError, UnicodeDecodeError, text_format.ParseError):
        return None  # TensorFlow says what is wrong with it
    changed = [fence.put(*graph) for graph in fence.graphs(saved)]
    if not any(changed):
        return None
    folder = tempfile.TemporaryDirectory(prefix="fenced-")
    for entry in path.iterdir():
        if entry.name != "saved_model.pb":
            (Path(folder.name) / entry.name).symlink_to(entry)
    (Path(folder.name) / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def _without_patterns(path: Path) -> str:
    """The path relative to the working directory if it looks like a pattern, else as it is.

    TensorFlow finds the variables by a pattern, and would read a folder such as `a[b]` as a part of it. A relative path may leave it out.
    """
    return os.path.relpath(path) if re.search(r"[\\\[*?]", str(path)) else str(path)


def _check_variables(path: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Refuses a model whose variables have not been copied yet. TensorFlow would load it and fail every request."""
    if (path / "variables" / "variables.index").exists():
        return
    for node in meta_graph.graph_def.node:
        if node.op in ("VarHandleOp", "VariableV2"):
            raise not_found(
                f"The model has variables, but no file {path}/variables/variables.index: an unfinished copy?"
            )


def warmup_records(path: Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The requests a model brings for its own warm-up; none if the file is missing or no TFRecord file.

    Raises `StatusError` beyond 1,000 records, as TensorFlow Serving does.
    """
    file = path / WARMUP_FILE
    if not file.is_file():
        return
    for count, record in enumerate(_tf_records(file.read_bytes())):
        if count >= WARMUP_LIMIT:
            raise invalid(f"Number of warmup records exceeds the maximum ({WARMUP_LIMIT}) at {file}")
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except Exception as error:
            raise invalid(f"Failed to parse warmup record: {bytes(record[:80])!r} from {file}") from error
        yield log


def _tf_records(data: bytes) -> Iterator[bytes]:
    """Length (8 bytes), its checksum (4), the record, its checksum (4); a file cut short ends early."""
    at = 0
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        if at + 16 + size > len(data):
            return
        yield data[at + 12 : at + 12 + size]
        at += 16 + size
