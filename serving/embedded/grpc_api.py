"""The gRPC front end: PredictionService, ModelService and grpc.health.v1 over the model manager."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from google.protobuf.message import DecodeError

from . import inference
from .access import AccessLog
from .errors import INTERNAL, NAMES, NOT_FOUND, OK, StatusError, invalid
from .execution import Call, Executor, unexpected
from .http.calls import Unary
from .inference import Method, Methods, ModelSpec
from .manager import Manager
from .metrics import Metrics
from .protos import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2
from .tensors import Tensor

_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"


class _Job:
    """One call of a prediction method. The result is the serialized response, or the error."""

    def __init__(self, service: "Service", method: Method, data: bytes, timeout: float | None) -> None:
        self._service, self._method, self._data = service, method, data
        self.deadline = time.monotonic() + timeout if timeout is not None else None
        self._started, self._spec = time.perf_counter(), ModelSpec("")

    def prepare(self) -> Call:
        try:
            request = self._method.request.FromString(self._data)
        except DecodeError:
            raise StatusError(INTERNAL, "") from None
        self._request = request
        self._spec = self._method.spec(request)
        return inference.acquire(
            self._service.manager, self._spec, lambda servable: self._method.prepare(servable, request)
        )

    def finish(self, call: Call, outputs: list[Tensor]) -> bytes:
        data = self._method.respond(call, self._request, outputs).SerializeToString()
        self._record("OK")
        return data

    def fail(self, error: StatusError) -> StatusError:
        self._record(NAMES[error.code], error.code != NOT_FOUND)
        return error

    def _record(self, status: str, known: bool = True) -> None:
        seconds = time.perf_counter() - self._started
        self._service.metrics.request(self._spec.name, self._method.name, "GRPC", status, seconds, known)


class Service:
    """PredictionService and ModelService."""

    def __init__(
        self, manager: Manager, executor: Executor, methods: Methods, metrics: Metrics, access: AccessLog | None
    ) -> None:
        self.manager, self.metrics = manager, metrics
        self._executor, self._methods, self._access = executor, methods, access

    def methods(self) -> dict[str, Unary]:
        """What to call for each path."""
        prediction: dict[str, Callable] = {method.name: self._runs(method) for method in self._methods.all}
        prediction["GetModelMetadata"] = self._answers(self.metadata, get_model_metadata_pb2.GetModelMetadataRequest)
        model = {
            "GetModelStatus": self._answers(self.status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": self._reloads,
        }
        found = {f"/{_PREDICTION}/{name}": work for name, work in prediction.items()}
        found |= {f"/{_MODEL}/{name}": work for name, work in model.items()}
        if self._access:
            return {path: self._logged(self._access, path, work) for path, work in found.items()}
        return found

    def _logged(self, access: AccessLog, path: str, work: Unary) -> Unary:
        async def call(data: bytes, timeout: float | None, peer: str) -> bytes | StatusError:
            started = time.perf_counter()
            result = work(data, timeout, peer)
            if not isinstance(result, bytes | StatusError):
                result = await result
            code = result.code if isinstance(result, StatusError) else OK
            access.write("gRPC", path, NAMES[code], time.perf_counter() - started, peer)
            return result

        return call

    def _runs(self, method: Method) -> Callable:
        return lambda data, timeout, peer: self._executor.execute(_Job(self, method, data, timeout), len(data))

    def _answers(self, method: Callable, request_type: Any) -> Callable:
        """A method that is answered from memory."""

        def work(data: bytes, timeout: float | None = None, peer: str = "") -> bytes | StatusError:
            try:
                request = request_type.FromString(data)
            except DecodeError:
                return StatusError(INTERNAL, "")
            try:
                return method(request).SerializeToString()
            except StatusError as error:
                return error
            except Exception as error:
                return unexpected(error)

        return work

    def _reloads(self, data: bytes, timeout: float | None, peer: str):
        """Loading may take long: it gets a thread of its own."""
        work = self._answers(
            lambda request: self.reload_config(request, timeout), model_management_pb2.ReloadConfigRequest
        )
        return self._executor.in_thread(work, data)

    def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest):
        """`PredictionService.GetModelMetadata`."""
        spec = inference.named(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        servable = self.manager.servable(spec.name, spec.version, spec.label)
        try:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            inference.fill_spec(response.model_spec, servable, None)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for key, signature in servable.signatures.items():
                signatures.signature_def[key].CopyFrom(signature.definition)
            response.metadata["signature_def"].Pack(signatures)
            return response
        finally:
            servable.release()

    def status(self, request: get_model_status_pb2.GetModelStatusRequest):
        """`ModelService.GetModelStatus`."""
        spec = ModelSpec.from_proto(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.manager.statuses(spec.name, spec.version):
            entry = response.model_version_status.add(version=version.number, state=version.state)
            entry.status.SetInParent()
            if version.error:
                entry.status.error_code = version.error.code
                entry.status.error_message = version.error.message
        return response

    def reload_config(self, request: model_management_pb2.ReloadConfigRequest, timeout: float | None):
        """`ModelService.HandleReloadConfigRequest`: answers when new models have loaded, or why they have not."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        self.manager.apply(request.config.model_config_list, timeout)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


class Health:
    """grpc.health.v1, whose messages are a handful of bytes. An empty name in a request stands for the server.

    SERVING once the server answers, NOT_SERVING as soon as it is told to end; a service that is neither one of the
    API's nor a model is NOT_FOUND.
    """

    SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
    _KNOWN = ("", _PREDICTION, _MODEL)

    def __init__(self, manager: Manager) -> None:
        self._manager, self._draining = manager, asyncio.Event()

    def shut_down(self) -> None:
        self._draining.set()

    def _status(self, request: bytes) -> bytes | None:
        service = _field_one(request)
        if service not in self._KNOWN and service not in self._manager.names():
            return None
        if self._draining.is_set():
            return self.NOT_SERVING
        return self.SERVING if service in self._KNOWN or self._manager.ready(service) else self.NOT_SERVING

    def check(self, request: bytes, timeout: float | None, peer: str) -> bytes | StatusError:
        return self._status(request) or StatusError(NOT_FOUND, "")

    async def watch(self, request: bytes) -> AsyncIterator[bytes]:
        """The status now, and every change of it until the server ends."""
        last = None
        while True:
            status = self._status(request) or self.SERVICE_UNKNOWN
            if status != last:
                yield status
                last = status
            if self._draining.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), 1)


def _field_one(message: bytes) -> str:
    """The string in field 1 of a message that has no other."""
    if len(message) < 2 or message[0] != 0x0A:
        return ""
    start = 3 if message[1] & 0x80 else 2
    return message[start:].decode("utf-8", "replace")
