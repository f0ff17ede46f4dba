"""From a Split to batches: whatever a model file gives (arrays, mappings, frames, tensors, streams) is NumPy from here on.

A value is an array, or a dict or a tuple of arrays; the first dimension is the example. If examples differ in shape, the array is ragged: a
one-dimensional object array of arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from model import Split

SIZE = 64  # of a request: small enough for any model's memory, large enough that the calls cost nothing


class Batch(NamedTuple):
    inputs: Any
    targets: Any = None
    weights: Any = None


def read(split: Split, is_batch: Callable[[Any], bool], size: int = SIZE) -> Iterator[Batch]:
    """The batches of `split`, one at a time; `is_batch` says whether a stream's first inputs hold several examples."""
    if not is_stream(split.inputs):
        whole = Batch(*map(plain, (split.inputs, split.targets, split.weights)))
        yield from (Batch(*(rows(part, slice(i, i + size)) for part in whole)) for i in range(0, length(whole), size))
        return
    stream = (_element(element) for element in _iterated(split.inputs))
    first = next(stream, None)
    if first is not None:
        stream = itertools.chain([first], stream)
        yield from stream if is_batch(first.inputs) else _gathered(stream, size)


def is_stream(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], tuple)
    known = value is None or isinstance(value, Mapping | tuple)
    return not known and not any(hasattr(value, name) for name in ("__array__", "to_numpy", "numpy"))


def plain(value: Any) -> Any:
    """The value in NumPy; an array is not copied."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):  # a frame of pandas or polars
        return {str(name): np.asarray(value[name]) for name in value.columns}
    if isinstance(value, str | bytes):  # an array of bytes would lose zeros at its end
        return np.array(value, object)
    if hasattr(value, "flat_values"):  # a RaggedTensor
        return ragged([row.numpy() for row in value])
    if isinstance(value, list):
        return _from_list(value)
    return np.asarray(value)


def _from_list(values: list) -> np.ndarray:
    if any(isinstance(value, bytes) for value in values):
        return np.array(values, object)
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        return ragged(values)


def ragged(examples: list) -> np.ndarray:
    array = np.empty(len(examples), object)
    for number, example in enumerate(examples):
        array[number] = np.asarray(example)
    return array


def is_ragged(array: np.ndarray) -> bool:
    return array.dtype == object and array.ndim == 1 and len(array) > 0 and isinstance(array[0], np.ndarray | list)


def each(function: Callable[..., Any], *values: Any) -> Any:
    """`function` applied to the arrays at each place of values with one structure."""
    first = values[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: each(function, *(value[name] for value in values)) for name in first}
    if isinstance(first, tuple):
        return tuple(each(function, *parts) for parts in zip(*values, strict=True))
    return function(*values)


def leaves(value: Any) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    each(found.append, value)
    return found


def rows(value: Any, index: Any) -> Any:
    """Some of the examples: `index` is a slice or a list of numbers."""
    return each(lambda array: array[index], value)


def length(value: Any) -> int:
    """How many examples, also of values that are not plain yet. Raises ValueError where the parts differ, and names one of each length."""
    lengths: dict[int, str] = {}
    for name, array in _by_name(value):
        shape = array.shape if hasattr(array, "shape") else [len(array)]
        if not len(shape):
            raise ValueError(f"{name} is one value, and not one of each example")
        lengths.setdefault(int(shape[0]), name)
    if len(lengths) > 1:
        told = ", ".join(f"{name} {count}".strip() for count, name in lengths.items())
        raise ValueError(f"its arrays have different lengths: {told}")
    return next(iter(lengths), 0)


def _by_name(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a value, each called as its author would: inputs 'age', targets."""
    if isinstance(value, Batch):
        parts = value._asdict()
    elif isinstance(value, Mapping | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        parts = {f"{name} {key!r}".strip(): part for key, part in items}
    else:
        if value is not None:
            yield name, value
        return
    for key, part in parts.items():
        yield from _by_name(part, key)


def join(parts: list) -> Any:
    """The examples of several values, joined in one value."""
    return each(lambda *arrays: _joined(arrays), *parts)


def _joined(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    if len({array.shape[1:] for array in arrays}) == 1 and not any(map(is_ragged, arrays)):
        return np.concatenate(arrays)
    return ragged([example for array in arrays for example in array])


def _stacked(*examples: np.ndarray) -> np.ndarray:
    return np.stack(examples) if len({np.shape(example) for example in examples}) == 1 else ragged(list(examples))


def _iterated(stream: Any) -> Iterable[Any]:
    """The stream as an iterable. A function is called anew each time; a keras.utils.PyDataset is read by index, up to its length."""
    if isinstance(stream, Iterator):
        raise ValueError("an iterator can be read only once: give the function that makes one, or a tf.data.Dataset")
    stream = stream() if callable(stream) else stream
    if not hasattr(stream, "__iter__"):
        return (stream[number] for number in range(len(stream)))
    return stream


def _element(element: Any) -> Batch:
    parts = element if isinstance(element, tuple) and len(element) <= 3 else (element,)
    return Batch(*map(plain, parts))


def _gathered(examples: Iterable[Batch], size: int) -> Iterator[Batch]:
    examples = iter(examples)
    while several := list(itertools.islice(examples, size)):
        yield Batch(*(each(_stacked, *parts) for parts in zip(*several, strict=True)))
