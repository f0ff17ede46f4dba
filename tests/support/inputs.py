"""What clients send to the models of pictures and of speech: good, and with one defect each."""

import base64
import io
import struct
import wave
import zlib
from typing import Any

import numpy as np

from tests.support.fork import ROOT


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, rate, 0, "NONE", ""))
        recording.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


SEVEN = (ROOT / "model/digits/seven.png").read_bytes()
FIVE = (ROOT / "model/spoken_digits/five.wav").read_bytes()
TONE = 0.5 * np.sin(np.arange(8000) * 0.3)
JPEG = (ROOT / "model/digits/four-light-on-dark.jpg").read_bytes()
INPUT = {"digits": "image", "spoken_digits": "wav"}  # the signature's name of it
GOOD = {"digits": (SEVEN, "seven"), "spoken_digits": (FIVE, "five")}

BAD = {
    "text": ("digits", b"no image at all", "the image is neither a PNG nor a JPEG"),
    "nothing": ("digits", b"", "the image is neither a PNG nor a JPEG"),
    "GIF": ("digits", b"GIF89a" + bytes(40), "the image is neither a PNG nor a JPEG"),
    "PNG cut in its header": ("digits", SEVEN[:12], "larger than 4096 pixels on a side:] [0 0]"),
    "PNG cut in its pixels": ("digits", SEVEN[:200], "Invalid PNG data"),
    "JPEG cut": ("digits", JPEG[:100], "JPEG"),
    "blank page": ("digits", png(20, 20, (b"\0" + b"\xff" * 20) * 20), "the image is blank: there is no digit on it"),
    "decompression bomb": ("digits", png(50_000, 50_000, bytes(10_000_000)), "larger than 4096 pixels on a side"),
    "long bomb": ("digits", png(5, 2_000_000_000), "larger than 4096 pixels on a side"),
    "sound that is text": ("spoken_digits", b"no recording at all", "the recording is no WAV file"),
    "WAV cut in its header": ("spoken_digits", FIVE[:20], "Data too short"),
    "WAV cut in its samples": ("spoken_digits", FIVE[:1000], "Data too short"),
    "WAV without samples": ("spoken_digits", wav(np.zeros(0)), ""),
    "silence": ("spoken_digits", wav(np.zeros(8000)), "the recording is silent"),
    "sample rate too low": ("spoken_digits", wav(TONE, 4000), "the sample rate must be 8000 to 48000 Hz, not] [4000]"),
    "sample rate too high": (
        "spoken_digits",
        wav(TONE, 96000),
        "the sample rate must be 8000 to 48000 Hz, not] [96000]",
    ),
    "recording too long": ("spoken_digits", wav(np.tile(TONE, 11)), "the recording is longer than 10 s"),
}


def encoded(*contents: bytes) -> list[dict[str, str]]:
    """As the REST API takes bytes."""
    return [{"b64": base64.b64encode(content).decode()} for content in contents]


def named(model: str, *contents: bytes) -> dict[str, Any]:
    """The inputs of `model`, by name."""
    return {INPUT[model.removesuffix("_int8")]: encoded(*contents)}
