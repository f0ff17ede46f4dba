"""TFRecord files, written without TensorFlow."""

import struct
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.message import Message


def write_records(path: Path, records: Iterable[Message]) -> None:
    """Writes `records`; the checksums are left at zero, which neither server looks at when it warms up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for record in records:
            data = record.SerializeToString()
            file.write(struct.pack("<QI", len(data), 0) + data + b"\0\0\0\0")
