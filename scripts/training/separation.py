"""Whether the held-out data are apart from the training data: a metric of what was trained on says nothing about what comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from model import Data, Split
from scripts.training import batches


def shared(data: Data) -> int | None:
    """How many held-out inputs are, byte for byte, training inputs too. None where either is a stream, which would be read once more."""
    if any(split.inputs is None or batches.is_stream(split.inputs) for split in (data.train, data.held_out)):
        return None
    asked = list(_hashes(data.held_out))
    found = set(asked).intersection(_hashes(data.train))
    return sum(one in found for one in asked)


def _hashes(split: Split) -> Iterator[bytes]:
    """A hash of each example's inputs."""
    leaves = batches.leaves(batches.plain(split.inputs))
    for row in zip(*leaves, strict=True):
        yield hashlib.blake2b(b"\0".join(map(_bytes, row)), digest_size=16).digest()


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    array = np.asarray(value)
    return array.tobytes() if array.dtype.kind in "biufc" else repr(array.tolist()).encode()
