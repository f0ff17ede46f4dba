"""The REST front end: TensorFlow Serving's paths, documents and status codes over the model manager."""

import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from google.protobuf.json_format import MessageToDict

from . import examples, inference
from .errors import NAMES, NOT_FOUND, StatusError, invalid
from .execution import Call, Executor
from .http.http1 import Limits
from .http.requests import Head, inflate
from .http.responses import Response, html
from .inference import Method, Methods, ModelSpec
from .json import numbers, request, response
from .json.text import parse, quote
from .manager import STATE_NAMES, Manager, Version
from .metrics import Metrics
from .servable import DEFAULT_SIGNATURE, Servable
from .tensors import Tensor

_SPEC = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_PREDICTION = re.compile(rf"/v1/models/([^/:]+){_SPEC}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_SPEC}(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_API = re.compile(r"/v1/.*", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://")
_CORS = (
    "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: POST, GET\r\n"
    "Access-Control-Allow-Headers: Content-Type\r\n"
)


@dataclass(frozen=True)
class Options:
    """What the command line and the configuration files say about REST."""

    limits: Limits
    timeout_seconds: float = 30.0
    json_depth: int = 4096
    cors: bool = False
    metrics_path: str = ""


class Rest:
    """Answers a request: `rest(head, body)` is a response, or the promise of one where a model has to run."""

    def __init__(
        self, manager: Manager, executor: Executor[Response], methods: Methods, metrics: Metrics, options: Options
    ) -> None:
        self.manager, self.methods, self.metrics, self.options = manager, methods, metrics, options
        self._executor = executor

    def __call__(self, head: Head, body: bytes) -> Response | Awaitable[Response]:
        path = head.path
        if not _API.fullmatch(path):
            return self._elsewhere(path)
        if head.method == "OPTIONS":
            return self._preflight(head)
        limits = self.options.limits
        if head.length > limits.body:
            return self._too_large(limits.body)
        if "gzip" in head.headers.get("content-encoding", ""):
            inflated = inflate(body, limits.inflated)
            if inflated is None:
                return self._too_large(limits.inflated)
            body = inflated
        started = time.perf_counter()
        match = _PREDICTION.fullmatch(path) if head.method == "POST" else None
        if match and match[4] in _JOBS:
            spec = _spec(match)
            if spec is None:
                return self.answer(400, b"")
            job = _JOBS[match[4]](self, spec, body, started)
            return self._executor.execute(job, len(body))
        spec = ModelSpec("")
        try:
            return self._document(head, spec, started)
        except StatusError as error:
            return self.fail(error, spec.name, "", started)

    def _document(self, head: Head, spec: ModelSpec, started: float) -> Response:
        """Status and metadata."""
        match = _STATUS.fullmatch(head.path) if head.method == "GET" else None
        if match is None:
            raise invalid(f"Malformed request: {head.method} {head.path}")
        if not match[1]:
            raise invalid("Missing model name in request.")
        named = _spec(match)
        if named is None:
            return self.answer(400, b"")
        spec.name = named.name
        if match[4] == "metadata":
            servable = self.manager.servable(named.name, named.version, named.label)
            try:
                body = metadata_document(servable)
            finally:
                servable.release()
        else:
            body = _status_document(self.manager.statuses(named.name, named.version))
        return self.succeed(body, named.name, "", started)

    def _elsewhere(self, path: str) -> Response:
        """Outside the API there is only the metrics page; with a query its path is another one, and the answer says so."""
        wanted = self.options.metrics_path
        if not wanted or path.partition("?")[0] != wanted:
            return html(404)
        if path != wanted:
            return Response(400, f"Unexpected path: {path}. Should be {wanted}".encode("latin-1"), "text/plain")
        return Response(200, self.metrics.page(), "text/plain")

    def _preflight(self, head: Head) -> Response:
        allowed = _ORIGIN.match(head.headers.get("origin", ""))
        return self.answer(200 if allowed else 400, b"", "text/html; charset=ISO-8859-1")

    def _too_large(self, limit: int) -> Response:
        return self.answer(413, response.error(f"Request body is larger than the limit of {limit} bytes"))

    def succeed(self, body: bytes, model: str, api: str, started: float) -> Response:
        self.metrics.request(model, api, "REST", "OK", time.perf_counter() - started)
        return self.answer(200, body)

    def fail(self, error: StatusError, model: str, api: str, started: float) -> Response:
        known = error.code != NOT_FOUND
        self.metrics.request(model, api, "REST", NAMES[error.code], time.perf_counter() - started, known)
        return self.answer(error.http_status, response.error(error.message))

    def answer(self, status: int, body: bytes, content_type: str = "application/json") -> Response:
        return Response(status, body, content_type, _CORS if self.options.cors else "")


class _Job:
    """What the three verbs have in common."""

    api = ""

    def __init__(self, rest: Rest, spec: ModelSpec, body: bytes, started: float) -> None:
        self._rest, self._spec, self._body, self._started = rest, spec, body, started
        timeout = rest.options.timeout_seconds
        self.deadline = time.monotonic() + timeout if timeout > 0 else None

    def _document(self) -> dict:
        document = parse(self._body, self._rest.options.json_depth)
        self._spec.signature = request.signature_name(document)
        return document

    def finish(self, call: Call, outputs: list[Tensor]) -> Response:
        return self._rest.succeed(self.body(call, outputs), self._spec.name, self.api, self._started)

    def body(self, call: Call, outputs: list[Tensor]) -> bytes:
        raise NotImplementedError

    def fail(self, error: StatusError) -> Response:
        return self._rest.fail(error, self._spec.name, self.api, self._started)


class _Predict(_Job):
    api = "predict"
    _form = request.ROW

    def prepare(self) -> Call:
        array = numbers.parse(self._body) if len(self._body) >= numbers.MIN_BYTES else None
        document = None
        if array is None:
            document = self._document()
        else:
            self._spec.signature = array.signature

        def make(servable: Servable) -> Call:
            name = self._spec.signature
            signature = servable.signature(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def')
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
            feeds = request.numeric_input(array.numbers, signature.inputs) if array else None
            if array and feeds:
                self._form = request.ROW if array.key == "instances" else request.COLUMN
            else:
                general = self._document() if document is None else document
                feeds, self._form = request.predict_inputs(general, signature.inputs)
            return inference.call(servable, signature, feeds, signature.outputs)

        return inference.acquire(self._rest.manager, self._spec, make)

    def body(self, call: Call, outputs: list[Tensor]) -> bytes:
        named = dict(zip(call.context, outputs, strict=True))
        return response.rows(named) if self._form == request.ROW else response.columns(named)


class _Examples(_Job):
    """`:classify` and `:regress`, which go the way of the gRPC methods."""

    method: Method

    def prepare(self) -> Call:
        document = self._document()
        proto = self.method.request()
        self._spec.to_proto(proto.model_spec)
        proto.input.CopyFrom(examples.input_from_json(document))
        self._request = proto
        return inference.acquire(self._rest.manager, self._spec, lambda servable: self.method.prepare(servable, proto))


class _Classify(_Examples):
    api = "classify"

    def __init__(self, rest: Rest, spec: ModelSpec, body: bytes, started: float) -> None:
        super().__init__(rest, spec, body, started)
        self.method = rest.methods.classify

    def body(self, call: Call, outputs: list[Tensor]) -> bytes:
        return response.classifications(self.method.respond(call, self._request, outputs).result)


class _Regress(_Examples):
    api = "regress"

    def __init__(self, rest: Rest, spec: ModelSpec, body: bytes, started: float) -> None:
        super().__init__(rest, spec, body, started)
        self.method = rest.methods.regress

    def body(self, call: Call, outputs: list[Tensor]) -> bytes:
        return response.regressions(self.method.respond(call, self._request, outputs).result)


_JOBS = {"predict": _Predict, "classify": _Classify, "regress": _Regress}


def _spec(match: re.Match) -> ModelSpec | None:
    """The model a path names; None if the version does not fit in 64 bits."""
    digits = match[2].lstrip("0") or "0" if match[2] else ""
    version = int(digits) if 0 < len(digits) < 20 else None
    if digits and (version is None or version >= 1 << 63):
        return None
    return ModelSpec(_unquote(match[1]), version, _unquote(match[3]) if match[3] else None)


def _unquote(part: str) -> str:
    return unquote_to_bytes(part).decode("utf-8", "surrogateescape") if "%" in part else part


def _status_document(versions: list[Version]) -> bytes:
    entries = []
    for version in versions:
        code, message = (NAMES[version.error.code], version.error.message) if version.error else ("OK", "")
        entries.append(
            f'  {{\n   "version": "{version.number}",\n   "state": "{STATE_NAMES[version.state]}",\n   "status": {{\n'
            f'    "error_code": "{code}",\n    "error_message": {quote(message)}\n   }}\n  }}'
        )
    document = '{\n "model_version_status": [\n' + ",\n".join(entries) + "\n ]\n}\n"
    return document.encode("utf-8", "surrogateescape")


def metadata_document(servable) -> bytes:
    """The answer to `/metadata`: protocol buffers in JSON, glued together as TensorFlow Serving glues them."""
    definitions = {key: _signature_document(signature.definition) for key, signature in servable.signatures.items()}
    spec = _pretty({"name": servable.name, "signature_name": "", "version": str(servable.version)}, 0)
    signatures = _pretty({"signature_def": definitions}, 0)
    return f'{{\n"model_spec":{spec}\n,\n"metadata": {{"signature_def": {signatures}\n}}\n}}\n'.encode()


def _signature_document(definition) -> dict:
    return {
        "inputs": {key: _tensor_document(info) for key, info in definition.inputs.items()},
        "outputs": {key: _tensor_document(info) for key, info in definition.outputs.items()},
        "method_name": definition.method_name,
        "defaults": {key: MessageToDict(value) for key, value in definition.defaults.items()},
    }


def _tensor_document(info) -> dict:
    document = MessageToDict(info, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    shape = document.get("tensor_shape", {})
    ordered = {
        "dtype": document["dtype"],
        "tensor_shape": {"dim": shape.get("dim", []), "unknown_rank": shape.get("unknown_rank", False)},
    }
    return ordered | {key: value for key, value in document.items() if key not in ("dtype", "tensor_shape")}


def _pretty(value, level: int) -> str:
    """Protocol buffer JSON: one blank of indentation a level."""
    pad = " " * (level + 1)
    if isinstance(value, dict):
        if not value:
            return "{}"
        items = [f"{pad}{quote(key)}: {_pretty(item, level + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + " " * level + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        items = [pad + _pretty(item, level + 1) for item in value]
        return "[\n" + ",\n".join(items) + "\n" + " " * level + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(value) if isinstance(value, str) else str(value)
