"""Every recorded gRPC call, asked again."""

import ast
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message

from serving.embedded.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from .comparison import text

FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = json.loads((FOLDER / "grpc.json").read_text())

MESSAGES: dict[str, tuple[type[Message], type[Message]]] = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
    "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
    "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
    "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, model_management_pb2.ReloadConfigResponse),
}


def ask(channel: grpc.Channel, method: str, request: str, timeout: float = 30) -> tuple[str, str]:
    """The status code of one call, and the response (or the details) as text."""
    types = MESSAGES.get(method.rsplit("/", 1)[1])
    raw = request.startswith("b'") or types is None
    call = channel.unary_unary(method)
    data = ast.literal_eval(request) if raw else text_format.Parse(request, types[0]()).SerializeToString()
    try:
        response = call(data, timeout=timeout)
    except grpc.RpcError as failure:
        error: Any = failure  # a grpc.Call too
        return error.code().name, text(error.details())
    assert types, method
    return "OK", canonical(types[1].FromString(response))


def canonical(message: Message) -> str:
    """`message` as text with map keys in order and graph names made equal."""
    return text(text_format.MessageToString(message))


@pytest.fixture(scope="module")
def channel(endpoint):
    with grpc.insecure_channel(endpoint.grpc, [("grpc.max_receive_message_length", -1)]) as made:
        yield made


@pytest.mark.parametrize("recording", RECORDINGS, ids=[recording["name"] for recording in RECORDINGS])
def test_recorded(recording: dict, channel: grpc.Channel) -> None:
    code, answer = ask(channel, recording["method"], recording["request"])
    if recording["code"] == "OK":
        response = MESSAGES[recording["method"].rsplit("/", 1)[1]][1]
        expected = canonical(text_format.Parse(recording["response"], response()))
    else:
        expected = text(recording["details"])
    assert code == recording["code"], answer
    # Texts that gRPC itself makes differ from one of its versions to the next.
    if code not in ("UNIMPLEMENTED", "INTERNAL"):
        assert answer == expected
