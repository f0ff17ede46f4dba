"""Tests the image as it would run in production, under the same restrictions: answers, limits, shutdown"""

import argparse
import subprocess
import sys
from contextlib import nullcontext

from scripts import _console, _engine, _files, _image, _release, _volume
from scripts._errors import YourTurn

NEEDS = "dev"
TESTS = "tests/container/test_image.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", metavar="REFERENCE", help="another image than that of the newest release")


def run(image: str | None) -> int:
    _engine.client()
    if image:
        _console.say(_test(image))
        return 0
    test(_release.read())
    _console.say("next: ./pipeline push")
    return 0


def test(release: _release.Release) -> None:
    """Tests the image built of `release`, and notes it: only a tested image is pushed."""
    note = _image.note(release)
    with (
        _console.stage("test-image") as stage,
        _volume.filled(release, note["id"]) if note["volume"] else nullcontext() as models,
    ):
        stage.result = _test(note["id"], models)
    _files.write_json(_image.NOTE, note | {"tested": True})


def _test(image: str, models: str | None = None) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--tb=line",
        "-x",
        "-p",
        "no:cacheprovider",
        TESTS,
        f"--image={image}",
        *([f"--models={models}"] if models else []),
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if result.returncode:
        _console.say(result.stdout)
        problem = f"the image {image} is refused: {len(failed)} of its tests failed; the first: {failed[0] if failed else 'see above'}"
        raise YourTurn(problem, "mend what the lines above say, then ./pipeline image && ./pipeline test-image")
    return result.stdout.strip().splitlines()[-1].strip("= ")
