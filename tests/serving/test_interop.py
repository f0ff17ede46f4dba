"""gRPC's own client against the server: the cases of its interoperability tests that unary methods have."""

from typing import Any

import grpc
import pytest

from serving.embedded.protos import predict_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture(scope="module")
def address(library, tmp_path_factory):
    from .process import ModelServer

    flags = "--model_name=m", f"--model_base_path={library / 'affine'}", "--enable_serialization_as_tensor_content=true"
    with ModelServer(*flags, log=tmp_path_factory.mktemp("interop") / "log") as server:
        yield f"127.0.0.1:{server.grpc_port}"


def request(rows: int = 1, name: str = "m") -> bytes:
    """Asks the model that triples."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = name
    tensor = made.inputs["x"]
    tensor.dtype = 1
    for size in (rows, 1):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(2.0)  # of all rows
    return made.SerializeToString()


def is_right(answer: bytes, rows: int = 1) -> bool:
    tensor = predict_pb2.PredictResponse.FromString(answer).outputs["y"]
    return tensor.tensor_content == b"\0\0\xc0\x40" * rows


def refused(call) -> Any:
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return failure.value


@pytest.mark.parametrize("compression", grpc.Compression, ids=lambda each: each.name)
def test_compressed_requests(address: str, compression: grpc.Compression) -> None:
    with grpc.insecure_channel(address, compression=compression) as channel:
        assert is_right(channel.unary_unary(PREDICT)(request(1000), timeout=20), 1000)


def test_more_calls_at_once_than_a_connection_may_have_wait_for_their_turn(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call, data = channel.unary_unary(PREDICT), request(100)
        assert all(is_right(future.result(), 100) for future in [call.future(data, timeout=120) for _ in range(2500)])


def test_a_stream_of_no_or_two_messages_is_refused_and_of_one_is_a_call(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(PREDICT)
        (answer,) = call(iter([request()]), timeout=20)
        assert is_right(answer)
        for count in (0, 2):
            error = refused(lambda count=count: list(call(iter([request()] * count), timeout=20)))
            assert error.code() is grpc.StatusCode.INTERNAL


def test_metadata_of_the_size_that_grpc_allows(address: str) -> None:
    metadata = [("x-custom", "a" * 7000), ("x-custom-bin", bytes(range(256)))]
    with grpc.insecure_channel(address) as channel:
        for _ in range(3):
            assert is_right(channel.unary_unary(PREDICT)(request(), metadata=metadata, timeout=20))


def test_status_details_come_as_they_are(address: str) -> None:
    name = "é ü\t%\n\U0001f642"
    with grpc.insecure_channel(address) as channel:
        error = refused(lambda: channel.unary_unary(PREDICT)(request(name=name), timeout=20))
        assert (error.code(), error.details()) == (
            grpc.StatusCode.NOT_FOUND,
            f"Servable not found for request: Latest({name})",
        )
        error = refused(lambda: channel.unary_unary("/nope/Nope")(b"", timeout=20))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_that_is_cancelled_leaves_its_connection_to_the_others(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call, data = channel.unary_unary(PREDICT), request(200_000)
        futures = [call.future(data, timeout=60) for _ in range(20)]
        for future in futures[::2]:
            future.cancel()
        assert all(is_right(future.result(), 200_000) for future in futures[1::2])
