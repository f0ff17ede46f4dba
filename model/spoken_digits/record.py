"""Makes recordings.zip: the ten digits, spoken by espeak-ng in 44 voices. It is committed, so that training needs no espeak-ng.

    sudo apt-get install espeak-ng && .venv/bin/python model/spoken_digits/record.py

Debian 12's espeak-ng 1.51 made the recordings that are committed; another version may speak differently.
"""

import io
import subprocess
import wave
import zipfile
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RATE = 8000  # Hz: a telephone's; speech stays well understood and the file small
STEP = 16  # values are rounded to multiples of it: 72 dB below full scale, far below the noise that training adds
# No timbre (a formant filter of espeak-ng's) of the held-out voices is in training, nor are two of their accents.
TIMBRES = {
    "train": """m1 m2 m3 m4 m5 m7 f1 f2 f3 f5 Alicia linda adam Alex Michael Diogo steph Gene belinda antonio Mario edward klatt2
        Denis Lee anika boris sandro victor shelby Jacky max paul quincy travis marcelo""",
    "held_out": "m8 f4 m6 Annie Andy Andrea aunty david",
}
ACCENTS = {
    "train": ["en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan"],
    "held_out": ["en-us", "en-gb", "en-gb-x-gbcwmd", "en-us-nyc"],
}


def main() -> None:
    _check_timbres()
    path = Path(__file__).with_name("recordings.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for part, timbres in TIMBRES.items():
            for number, timbre in enumerate(timbres.split()):
                voice = f"{ACCENTS[part][number % len(ACCENTS[part])]}+{timbre}"
                for word in WORDS:
                    # A fixed date, so that the same recordings are the same bytes.
                    entry = zipfile.ZipInfo(f"{part}/{voice}/{word}.wav", (2020, 1, 1, 0, 0, 0))
                    spoken = _speak(voice, word, speed=115 + 10 * (number % 7), pitch=30 + 10 * (number % 5))
                    archive.writestr(entry, _wav(spoken), zipfile.ZIP_LZMA)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _check_timbres() -> None:
    """espeak-ng takes its default for a timbre that it does not know, and says nothing."""
    known = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    if unknown := [name for names in TIMBRES.values() for name in names.split() if f"!v/{name} " not in known]:
        raise SystemExit(f"this espeak-ng has no timbre {', '.join(unknown)}")


def _speak(voice: str, word: str, speed: int, pitch: int) -> np.ndarray:
    """Samples of one word at RATE, without the silence around it, as loud as 16 bits allow; `speed` in words a minute."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    spoken = subprocess.run(command, capture_output=True, check=True).stdout
    header = spoken.index(b"data") + 8  # the length in the header of a pipe is not the true one
    samples = np.frombuffer(spoken[header : header + (len(spoken) - header) // 2 * 2], "<i2").astype(float)
    samples = resample_poly(samples, 160, 441)  # from 22,050 Hz
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1]
    return (samples / np.abs(samples).max() * 32000 / STEP).round() * STEP


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, RATE, 0, "NONE", ""))
        recording.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


if __name__ == "__main__":
    main()
