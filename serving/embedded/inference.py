"""Predict, Classify, Regress and MultiInference: from a request to a checked call, and from outputs to a response."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import errors, examples
from .errors import StatusError, invalid
from .execution import Call
from .json.text import utf8
from .manager import Manager
from .protos import classification_pb2, inference_pb2, model_pb2, predict_pb2, regression_pb2
from .servable import DEFAULT_SIGNATURE, Servable, Signature
from .tensors import Tensor, from_proto, to_proto


@dataclass(slots=True)
class ModelSpec:
    """The model, version or label, and signature that a request names."""

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""

    @classmethod
    def from_proto(cls, spec: model_pb2.ModelSpec) -> "ModelSpec":
        version = spec.version.value if spec.HasField("version") else None
        return cls(spec.name, version, spec.version_label or None, spec.signature_name)

    def to_proto(self, spec: model_pb2.ModelSpec) -> None:
        spec.name, spec.signature_name = utf8(self.name), utf8(self.signature)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label:
            spec.version_label = utf8(self.label)


def named(request) -> ModelSpec:
    """The model spec of a request that must have one."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return require_name(request.model_spec)


def require_name(spec: model_pb2.ModelSpec) -> ModelSpec:
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    return ModelSpec.from_proto(spec)


@dataclass(frozen=True)
class Method:
    """One of the four: `prepare(servable, request)` gives a call, `respond(call, request, outputs)` the response."""

    name: str
    request: Any
    spec: Callable[..., ModelSpec]
    prepare: Callable[..., Call]
    respond: Callable[..., Any]


class Methods:
    """The methods with the options that bear on them. Their calls hold no servable yet: see `acquire`."""

    def __init__(self, as_content: bool = False, check_method: bool = False) -> None:
        self._as_content, self._check_method = as_content, check_method
        self.predict = Method("Predict", predict_pb2.PredictRequest, named, self._predict, self._predicted)
        self.classify = Method(
            "Classify", classification_pb2.ClassificationRequest, named, self._classify, self._classified
        )
        self.regress = Method("Regress", regression_pb2.RegressionRequest, named, self._regress, self._regressed)
        self.multi_inference = Method(
            "MultiInference", inference_pb2.MultiInferenceRequest, _first_task, self._infer, self._inferred
        )
        self.all = (self.predict, self.classify, self.regress, self.multi_inference)

    def _predict(self, servable: Servable, request: predict_pb2.PredictRequest) -> Call:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None:
            raise StatusError(errors.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        feeds = _feeds(signature, request)
        return call(servable, signature, feeds, _outputs(signature, request))

    def _predicted(self, made: Call, request: predict_pb2.PredictRequest, outputs: list[Tensor]):
        response = predict_pb2.PredictResponse()
        fill_spec(response.model_spec, made.servable, request.model_spec.signature_name)
        for alias, tensor in zip(made.context, outputs, strict=True):
            to_proto(tensor, response.outputs[alias], self._as_content)
        return response

    def _classify(self, servable: Servable, request: classification_pb2.ClassificationRequest) -> Call:
        return self._examples_call(examples.CLASSIFY, servable, request)

    def _classified(self, made: Call, request, outputs: list[Tensor]) -> classification_pb2.ClassificationResponse:
        response = classification_pb2.ClassificationResponse()
        _fill_result(examples.CLASSIFY, made, outputs, response.result)
        fill_spec(response.model_spec, made.servable, request.model_spec.signature_name)
        return response

    def _regress(self, servable: Servable, request: regression_pb2.RegressionRequest) -> Call:
        return self._examples_call(examples.REGRESS, servable, request)

    def _regressed(self, made: Call, request, outputs: list[Tensor]) -> regression_pb2.RegressionResponse:
        response = regression_pb2.RegressionResponse()
        _fill_result(examples.REGRESS, made, outputs, response.result)
        fill_spec(response.model_spec, made.servable, request.model_spec.signature_name)
        return response

    def _examples_call(self, method: str, servable: Servable, request) -> Call:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None:
            raise invalid(f"No signature was found with the name: {name}")
        task = examples.task(method, signature, self._check_method)
        made = call(servable, signature, {"inputs": examples.to_tensor(request.input)}, task.outputs)
        made.api = "Classify" if method == examples.CLASSIFY else "Regress"
        return made

    def _infer(self, servable: Servable, request: inference_pb2.MultiInferenceRequest) -> Call:
        """All tasks in one run: they have the same input, and each its outputs."""
        tasks = self._tasks(servable, request)
        feed = next(iter(tasks.values())).signature.definition.inputs["inputs"].name
        fetches = [task.signature.definition.outputs[alias].name for task in tasks.values() for alias in task.outputs]
        plan = servable.plan((feed,), tuple(fetches))
        return Call(servable, plan, [examples.to_tensor(request.input)], tasks, "MultiInference")

    def _inferred(self, made: Call, request, outputs: list[Tensor]) -> inference_pb2.MultiInferenceResponse:
        response = inference_pb2.MultiInferenceResponse()
        remaining, count = iter(outputs), made.feeds[0].shape[0]
        for name, task in made.context.items():
            entry = response.results.add()
            given = {alias: next(remaining) for alias in task.outputs}
            result = entry.classification_result if task.method == examples.CLASSIFY else entry.regression_result
            _FILL[task.method](count, given, result)
            fill_spec(entry.model_spec, made.servable, name)
        return response

    def _tasks(self, servable: Servable, request: inference_pb2.MultiInferenceRequest) -> dict[str, examples.Task]:
        tasks: dict[str, examples.Task] = {}
        feeds = set()
        for entry in request.tasks:
            if not entry.model_spec.name:
                raise invalid("Found ModelSpec with an empty model name.")
            if entry.model_spec.name != servable.name:
                raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            name = entry.model_spec.signature_name or DEFAULT_SIGNATURE
            if name in tasks:
                raise invalid(f"Duplicate evaluation of signature: {name}")
            signature = servable.signature(name)
            if signature is None:
                raise invalid(f"Requested signature not found in model graph: {name}")
            if entry.method_name not in _FILL:
                raise StatusError(errors.UNIMPLEMENTED, f"Unsupported signature method_name: {entry.method_name}")
            tasks[name] = examples.task(entry.method_name, signature, self._check_method)
            feeds.add(signature.definition.inputs["inputs"].name)
            if len(feeds) > 1:
                raise invalid("Input tensor must be the same for all Signatures.")
        return tasks


def acquire(manager: Manager, spec: ModelSpec, prepare: Callable[[Servable], Call]) -> Call:
    """A call on the servable for `spec`, which stays held; it is let go at once if `prepare` refuses."""
    servable = manager.servable(spec.name, spec.version, spec.label)
    try:
        return prepare(servable)
    except BaseException:
        servable.release()
        raise


def call(servable: Servable, signature: Signature, feeds: dict[str, Tensor], outputs: Iterable[str]) -> Call:
    """The call that feeds `feeds` (by alias) and fetches `outputs`; its context is the aliases of the outputs."""
    for alias, tensor in feeds.items():
        signature.check(alias, tensor)
    aliases = tuple(outputs)
    return Call(servable, signature.plan(tuple(feeds), aliases), list(feeds.values()), aliases)


def fill_spec(spec: model_pb2.ModelSpec, servable: Servable, signature: str | None) -> None:
    """Names in an answer the model, version and signature that gave it."""
    spec.name = servable.name
    spec.version.value = servable.version
    if signature is not None:
        spec.signature_name = signature or DEFAULT_SIGNATURE


_FILL = {examples.CLASSIFY: examples.classifications, examples.REGRESS: examples.regressions}


def _fill_result(method: str, made: Call, outputs: list[Tensor], result) -> None:
    _FILL[method](made.feeds[0].shape[0], dict(zip(made.context, outputs, strict=True)), result)


def _first_task(request: inference_pb2.MultiInferenceRequest) -> ModelSpec:
    return require_name(request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec())


def _feeds(signature: Signature, request: predict_pb2.PredictRequest) -> dict[str, Tensor]:
    """The request's inputs, checked against the signature and completed by its defaults."""
    sent = request.inputs
    if sent.keys() != signature.inputs.keys():
        _check_names(signature, set(sent))
    feeds = {}
    for alias in signature.inputs:
        tensor = from_proto(sent[alias]) if alias in sent else signature.defaults[alias]
        if tensor is None:
            raise invalid(f"tensor parsing error: {alias}")
        feeds[alias] = tensor
    return feeds


def _check_names(signature: Signature, sent: set[str]) -> None:
    """Refuses inputs that are not those of the signature; what has a default may be missing."""
    wanted = set(signature.inputs)
    missing = wanted - sent
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not missing <= signature.defaults.keys()):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({_braced(sent)}) != "
            f"len({_braced(wanted)}). Sent extra: {_braced(sent - wanted)}. Missing but required: {_braced(missing)}."
        )
    for alias in sorted(missing - signature.defaults.keys()):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.definition.inputs[alias].name}) not found in "
            f"request and no default value provided. Inputs expected to be in the request {_braced(sent)}, or "
            f"default input alias set: {','.join(sorted(signature.defaults))}"
        )


def _braced(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"


def _outputs(signature: Signature, request: predict_pb2.PredictRequest) -> Iterable[str]:
    """The aliases to fetch: all, or those of the output filter."""
    if not request.output_filter:
        return signature.outputs
    wanted: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.definition.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{_braced(signature.outputs)}."
            )
        if alias in wanted:
            raise invalid(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted
