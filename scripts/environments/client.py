"""A client of one model server, by REST and by gRPC, that needs no TensorFlow."""

import base64
import http.client
import json
import math
import struct
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from scripts.workspace.errors import YourTurn

TIMEOUT_SECONDS = (
    30  # for one answer: far more than any model needs, so that a hung server is an error and not a hung job
)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
METRICS = "/monitoring/prometheus/metrics"  # of serving/monitoring.config
# dtype: (number in TensorFlow's DataType, field of the tensor that holds such values)
FIELDS = {
    "float32": (1, "float_val"),
    "float64": (2, "double_val"),
    "int32": (3, "int_val"),
    "uint8": (4, "int_val"),
    "int16": (5, "int_val"),
    "int8": (6, "int_val"),
    "string": (7, "string_val"),
    "int64": (9, "int64_val"),
    "bool": (10, "bool_val"),
    "float16": (19, "half_val"),
    "uint32": (22, "uint32_val"),
    "uint64": (23, "uint64_val"),
}


class NoAnswer(Exception):
    """The server refused, failed or could not be reached; the message is its own."""


class Silent(NoAnswer):
    """The request was sent, and no answer came in time."""


class Way(Protocol):
    """A connection to a server that has no ports on this computer."""

    trouble: str  # why the server cannot be reached; empty if it can

    def open(self) -> AbstractContextManager[tuple[int, int]]:
        """The local ports that lead to the server's own."""


@dataclass(frozen=True)
class Endpoint:
    """Where one model server answers."""

    host: str
    rest_port: int = 0
    grpc_port: int = 0
    name: str = ""  # of the pod, where there is more than one to tell apart
    way: Way | None = None
    kept: "Connections | None" = None

    @contextmanager
    def connected(self) -> Generator["Endpoint"]:
        """The same endpoint with one kept connection for REST and one for gRPC, for one thread with many requests."""
        ports = self.way.open() if self.way else nullcontext((self.rest_port, self.grpc_port))
        with ports as (rest, grpc), closing(Connections(self.host, rest, grpc)) as kept:
            yield replace(self, rest_port=rest, grpc_port=grpc, kept=kept)

    def status(self, model: str) -> dict[int, tuple[str, str]]:
        """State and error message of each version of `model`: {version: ("AVAILABLE", "")}."""
        document = self._rest("GET", f"/v1/models/{model}")
        return {int(v["version"]): (v["state"], v["status"]["error_message"]) for v in document["model_version_status"]}

    def metadata(self, model: str) -> dict[str, Any]:
        """The signatures of `model`; an answer means that it is loaded."""
        return self._rest("GET", f"/v1/models/{model}/metadata")

    def metrics(self) -> str:
        """The page that Prometheus reads."""
        with nullcontext(self.kept) if self.kept else closing(self._connections()) as connections:
            response, text = connections.ask("GET", METRICS, None)
        if response.status != 200:
            raise NoAnswer(f"HTTP {response.status} from {METRICS}")
        return text

    def predict_by_rest(self, model: str, inputs: dict[str, Any], signature: str = "") -> Any:
        """The `outputs` of the latest version; a single output comes without its name. An empty `signature` is the default one."""
        return self._rest("POST", f"/v1/models/{model}:predict", json.dumps(body(inputs, signature)))["outputs"]

    def predict_by_grpc(
        self, model: str, inputs: dict[str, Any], dtypes: dict[str, str], signature: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """The version that answered, and its outputs by name, written as REST would write them."""
        import grpc  # 0.1 s, and many verbs ask nothing

        from scripts.environments import serving_pb2 as pb

        request = predict_request(model, inputs, dtypes, signature)
        with nullcontext(self.kept) if self.kept else closing(self._connections()) as connections:
            call = connections.grpc.unary_unary(
                PREDICT, pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString
            )
            try:
                response = call(request, timeout=TIMEOUT_SECONDS)
            except grpc.RpcError as error:  # always a grpc.Call too, which its stubs do not say
                code, details = error.code(), error.details()  # ty: ignore[missing-attribute]
                kind = Silent if code is grpc.StatusCode.DEADLINE_EXCEEDED else NoAnswer
                raise kind(f"{code.name}: {details}") from None
        return response.model_spec.version.value, {
            name: _read(name, tensor) for name, tensor in response.outputs.items()
        }

    def _connections(self) -> "Connections":
        return Connections(self.host, self.rest_port, self.grpc_port)

    def _rest(self, method: str, path: str, body: str | None = None) -> Any:
        with nullcontext(self.kept) if self.kept else closing(self._connections()) as connections:
            response, text = connections.ask(method, path, body)
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            raise NoAnswer(f"HTTP {response.status}, and no JSON: {text[:200]}") from None
        if response.status != 200:
            raise NoAnswer(f"HTTP {response.status}: {document.get('error', text[:200])}")
        return document


def body(inputs: dict[str, Any], signature: str = "") -> dict[str, Any]:
    """A request by REST, in the column format."""
    return ({"signature_name": signature} if signature else {}) | {"inputs": inputs}


class Connections:
    """One for REST and one for gRPC, each opened when it is needed."""

    def __init__(self, host: str, rest_port: int, grpc_port: int):
        self._rest = http.client.HTTPConnection(host, rest_port, timeout=TIMEOUT_SECONDS)
        self._address = f"{host}:{grpc_port}"

    @cached_property
    def grpc(self):
        import grpc

        return grpc.insecure_channel(self._address, [("grpc.max_receive_message_length", -1)])

    def ask(self, method: str, path: str, body: str | None) -> tuple[http.client.HTTPResponse, str]:
        """Sends one request by REST. A connection that the server has closed since the last answer is opened again."""
        again = self._rest.sock is not None
        try:
            self._rest.request(method, path, body)
            response = self._rest.getresponse()
            return response, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._rest.close()
            if again and isinstance(error, (ConnectionError, http.client.BadStatusLine)):
                return self.ask(method, path, body)
            kind = Silent if isinstance(error, TimeoutError) else NoAnswer
            raise kind(f"{self._rest.host}:{self._rest.port}: {error}") from None

    def close(self) -> None:
        self._rest.close()
        if "grpc" in self.__dict__:
            self.grpc.close()


def predict_request(model: str, inputs: dict[str, Any], dtypes: dict[str, str], signature: str = ""):
    """The PredictRequest of PREDICT, from inputs as REST takes them."""
    from scripts.environments import serving_pb2 as pb

    request = pb.PredictRequest(model_spec=pb.ModelSpec(name=model, signature_name=signature))
    for name, value in inputs.items():
        _fill(request.inputs[name], value, dtypes[name])
    return request


def _fill(tensor, value: Any, dtype: str) -> None:
    if dtype not in FIELDS:
        raise YourTurn(
            f"an input of type {dtype} cannot be verified by gRPC",
            f"take one of {', '.join(FIELDS)} in the model's signature",
        )
    tensor.dtype, field = FIELDS[dtype]
    for size in _shape(value):
        tensor.tensor_shape.dim.add(size=size)
    values = list(_scalars(value))
    if dtype == "float16":
        values = struct.unpack(f"<{len(values)}H", struct.pack(f"<{len(values)}e", *values))
    getattr(tensor, field).extend(values)


def _shape(value: Any) -> list[int]:
    return [len(value), *(_shape(value[0]) if value else [])] if isinstance(value, list) else []


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, dict):
        yield base64.b64decode(value["b64"])
    else:
        yield value.encode() if isinstance(value, str) else value


def _read(name: str, tensor) -> Any:
    """Nested lists; bytes as text, or as {"b64": …} where the output's name ends in _bytes."""
    field = next((field for number, field in FIELDS.values() if number == tensor.dtype), None)
    if not field or tensor.tensor_content:
        raise NoAnswer(f"output {name!r} came in a form that is not read here (dtype {tensor.dtype})")
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    values = list(getattr(tensor, field))
    if values and len(values) < math.prod(shape):  # TensorFlow may leave out repetitions of the last value
        values += values[-1:] * (math.prod(shape) - len(values))
    if field == "half_val":
        values = list(struct.unpack(f"<{len(values)}e", struct.pack(f"<{len(values)}H", *values)))
    if field == "string_val":
        values = [
            {"b64": base64.b64encode(v).decode()} if name.endswith("_bytes") else v.decode(errors="replace")
            for v in values
        ]
    return _nest(values, shape)


def _nest(values: list[Any], shape: list[int]) -> Any:
    if not shape:
        return values[0]
    step = math.prod(shape[1:])
    return [_nest(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]
