"""Classify, Regress and MultiInference: signatures that take serialized `tf.Example`s."""

from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from .errors import invalid
from .json.request import decode_base64
from .json.text import text, type_name, utf8
from .protos import classification_pb2, example_pb2, feature_pb2, input_pb2, regression_pb2, types_pb2
from .servable import Signature
from .tensors import STRING, Tensor

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


# --- from JSON ---


def input_from_json(document: dict[str, Any]) -> input_pb2.Input:
    """The examples of a `:classify` or `:regress` body."""
    result = input_pb2.Input()
    holder = result.example_list
    if "context" in document:
        holder = result.example_list_with_context
        _fill_example(document["context"], holder.context)
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {text(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if type(examples) is not list:
        raise invalid(f"JSON Value: {text(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid(f"JSON Value: {text(document)} 'examples' value is an empty array")
    for example in examples:
        _fill_example(example, holder.examples.add())
    return result


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[utf8(name)]
        for item in content if type(content) is list else [content]:
            _add_value(name, item, feature)


_FEATURES = {bool: "int64_list", int: "int64_list", float: "float_list", str: "bytes_list", dict: "bytes_list"}


def _add_value(name: str, value: Any, feature: feature_pb2.Feature) -> None:
    kind = _FEATURES.get(type(value))
    if kind is None or (type(value) is dict and not (len(value) == 1 and type(value.get("b64")) is str)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {before.removesuffix('_list')}")
    if kind == "bytes_list":
        data = decode_base64(value) if type(value) is dict else value.encode("utf-8", "surrogateescape")
        feature.bytes_list.value.append(data)
    elif kind == "float_list":
        feature.float_list.value.append(value)
    elif value >= 1 << 63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    else:
        feature.int64_list.value.append(int(value))


# --- to tensors and back ---


def to_tensor(request: input_pb2.Input) -> Tensor:
    """The examples of a request as one string tensor; a context comes before each of them, and they may override it."""
    kind = request.WhichOneof("kind")
    examples = getattr(request, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = request.example_list_with_context.context.SerializeToString()
    values = [context + example.SerializeToString() for example in examples]
    return Tensor(STRING, (len(values),), values)


@dataclass(frozen=True)
class Task:
    """A signature checked for classification or regression, with the outputs it gives."""

    method: str
    signature: Signature
    outputs: tuple[str, ...]


def task(method: str, signature: Signature, check_method: bool) -> Task:
    """Checks that `signature` can be used by `method` (CLASSIFY or REGRESS)."""
    definition, kind = signature.definition, _KINDS[method]
    if check_method and definition.method_name != method:
        raise invalid(f"Expected {kind} signature method_name to be {method}. Was: {definition.method_name}")
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    count = len(definition.outputs)
    if method == REGRESS and count != 1:
        raise invalid("Expected one output Tensor.")
    if method == CLASSIFY and count not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {count}")
    shown = text_format.MessageToString(definition)
    if "inputs" not in definition.inputs:
        raise invalid(f"No {kind} inputs found in SignatureDef: {shown}")
    names = ("outputs",) if method == REGRESS else ("classes", "scores")
    outputs = tuple(name for name in names if name in definition.outputs)
    if not outputs and method == REGRESS:
        raise invalid(f"No regression outputs found in SignatureDef: {shown}")
    if not outputs:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {shown}"
        )
    return Task(method, signature, outputs)


def classifications(count: int, outputs: dict[str, Tensor], result: classification_pb2.ClassificationResult) -> None:
    """Fills `result` from the outputs `classes` and `scores` (either may be missing) for `count` examples."""
    for name, dtype in (("classes", STRING), ("scores", types_pb2.DT_FLOAT)):
        if name in outputs:
            _check_classification(name, dtype, count, outputs[name])
    widths = {tensor.shape[1] for tensor in outputs.values()}
    if len(widths) != 1:
        got = " vs. ".join(str(outputs[name].shape[1]) for name in ("classes", "scores"))
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {got}")
    (width,) = widths
    labels = outputs["classes"].values if "classes" in outputs else None
    scores = outputs["scores"].values.tolist() if "scores" in outputs else None
    for row in range(count):
        entry = result.classifications.add()
        for at in range(row * width, (row + 1) * width):
            made = entry.classes.add()
            if labels is not None:
                made.label = labels[at].decode("utf-8", "replace")
            if scores is not None:
                made.score = scores[at]


def _check_classification(name: str, dtype: int, count: int, tensor: Tensor) -> None:
    if len(tensor.shape) != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(tensor)}")
    if tensor.dtype != dtype:
        wanted, got = (types_pb2.DataType.Name(number) for number in (dtype, tensor.dtype))
        raise invalid(f"Expected {name} Tensor of {wanted}. Got: {got}")
    if tensor.shape[0] != count:
        raise invalid(f"Expected {name} output batch size of {count}. Got: {tensor.shape[0]}")


def regressions(count: int, outputs: dict[str, Tensor], result: regression_pb2.RegressionResult) -> None:
    """Fills `result` from the output `outputs` for `count` examples."""
    tensor = outputs["outputs"]
    if not (len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(tensor)}"
        )
    if tensor.shape[0] != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {tensor.shape[0]}")
    if tensor.dtype != types_pb2.DT_FLOAT:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(tensor.dtype)}")
    for value in tensor.values.tolist():
        result.regressions.add(value=value)


def _shape(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"
