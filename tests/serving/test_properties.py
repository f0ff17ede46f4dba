"""Properties of the parts that are written for speed, against the plain way of doing the same."""

import json
import math
import struct
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.embedded import batching, tensors
from serving.embedded.errors import StatusError
from serving.embedded.json import numbers, request, response, text
from serving.embedded.tensors import Tensor

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
FLOAT = 1
finite = st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | finite | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), documents, max_size=4))
def test_the_exact_parser_reads_what_orjson_reads(document: dict) -> None:
    body = orjson.dumps(document)
    assert text._Parser(body, 4096).document() == orjson.loads(body)


@given(st.binary(max_size=60) | documents.map(lambda value: json.dumps(value).encode()).map(lambda data: data[:-1]))
def test_the_parser_answers_or_refuses_with_a_place(body: bytes) -> None:
    try:
        assert isinstance(text.parse(body), dict)
    except StatusError as error:
        assert error.message.startswith(("JSON Parse error: ", "JSON Value: "))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": [1 2]}', "Missing a comma or ']' after an array element. at offset: 9"),
        (b'{"a": 1 "b"}', "Missing a comma or '}' after an object member. at offset: 8"),
        (b'{"a": "b\x01"}', "Invalid escape character in string. at offset: 8"),
        (b'{"a": "b\\x"}', "Invalid escape character in string. at offset: 8"),
        (b'{"a": "b', "Missing a closing quotation mark in string. at offset: 8"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid. at offset: 7"),
        (b'{"a": "\\u00g0"}', "Incorrect hex digit after \\u escape in string. at offset: 7"),
        (b'{"a": 1.}', "Miss fraction part in number. at offset: 8"),
        (b'{"a": 1e}', "Miss exponent in number. at offset: 8"),
    ],
)
def test_errors_are_worded_as_by_rapidjson_1_1_0(body: bytes, said: str) -> None:
    with pytest.raises(StatusError) as refused:
        text.parse(body)
    assert refused.value.message == f"JSON Parse error: {said}"


@st.composite
def arrays(draw) -> list:
    """A regular nested list of numbers."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    leaf = st.integers(-1000, 1000) | st.floats(-(2.0**100), 2.0**100, width=32)

    def make(sizes: list[int]):
        return [make(sizes[1:]) for _ in range(sizes[0])] if sizes else draw(leaf)

    return make(shape)


@given(arrays(), st.sampled_from(["instances", "inputs"]), st.booleans())
def test_arrays_read_quickly_are_those_read_slowly(array: list, key: str, spaced: bool) -> None:
    body = json.dumps({key: array, "signature_name": "s"}, separators=None if spaced else (",", ":")).encode()
    found = numbers.parse(body)
    assert found is not None and (found.key, found.signature) == (key, "s")
    quick = (request.numeric_input(found.numbers, {"x": FLOAT}) or {})["x"]
    slow = request.predict_inputs(text.parse(body), {"x": FLOAT})[0]["x"]
    assert quick.shape == slow.shape and quick.values.tobytes() == slow.values.tobytes()


@given(
    arrays(),
    st.integers(0, 200),
    st.sampled_from(["", "[", "]", ",", "1", " ", "[,]", "],[", "NaN", '"a"', "{}", "1 2"]),
)
def test_a_damaged_array_is_never_read_as_something_else(array: list, at: int, damage: str) -> None:
    """Whatever the quick way accepts is JSON, and means the same."""
    text = json.dumps(array)
    damaged = text[: at % (len(text) + 1)] + damage + text[at % (len(text) + 1) + (not damage) :]
    found = numbers.parse_array(damaged.encode())
    if found is not None:
        plain = json.loads(damaged)
        assert np.array(plain, np.float64).shape == found.shape
        assert np.array(plain, np.float64).reshape(-1).tolist() == [float(value) for value in found.values]


@given(st.lists(st.floats(width=32), min_size=1, max_size=80))
def test_float32_is_written_so_that_it_reads_back(values: list[float]) -> None:
    array = np.array(values, "<f4")
    texts = response._float32_texts(array)
    assert texts == [response.float32_text(value) for value in array.tolist()]
    for value, shown in zip(array.tolist(), texts, strict=True):
        if math.isnan(value):
            assert shown == "NaN"
        elif abs(value) >= 2.0**-126:  # below, denormals are written as zero
            read = float(shown.replace("Infinity", "inf"))
            assert math.isinf(read) == math.isinf(value)
            assert math.isinf(value) or struct.unpack("<f", struct.pack("<f", read))[0] == value
            assert "." in shown or "e" in shown or "Inf" in shown


@given(finite)
def test_float64_is_written_so_that_it_reads_back(value: float) -> None:
    assert float(response.float64_text(value)) == value
    assert float(text.number(value)) == value


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 3), st.integers(1, 3))
def test_what_is_merged_splits_into_what_it_was(rows: list[int], padding: int, width: int) -> None:
    numbers = iter(range(10_000))
    parts = [
        Tensor(FLOAT, (count, width), np.array([next(numbers) for _ in range(count * width)], "<f4")) for count in rows
    ]
    merged = batching.merge(parts, padding, pad=False)
    assert merged.shape == (sum(rows) + padding, width)
    for part, back in zip(parts, batching.split(merged, rows, padding), strict=True):
        assert part.shape == back.shape and part.values.tolist() == back.values.tolist()


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_encoded_strings_are_read_back(strings: list[bytes]) -> None:
    def varint(size: int) -> bytes:
        return bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80,)) + varint(size >> 7)

    content = b"".join(varint(len(each)) for each in strings) + b"".join(strings)
    assert tensors._encoded_strings(content, len(strings)) == strings
    assert tensors._encoded_strings(content + b"x", len(strings)) is None


@pytest.mark.parametrize("shape", [(1 << 62, 4), (1 << 62, 1 << 62, 0), (-1, 2), (1,) * 255])
def test_shapes_that_tensorflow_would_die_of_are_refused(shape: tuple[int, ...]) -> None:
    proto = SimpleNamespace(
        dtype=FLOAT,
        tensor_shape=SimpleNamespace(unknown_rank=False, dim=[SimpleNamespace(size=size) for size in shape]),
    )
    assert tensors.from_proto(proto) is None
