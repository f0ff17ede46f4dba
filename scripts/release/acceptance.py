"""The tests that an image must pass before it is pushed: it runs as in production, under the same restrictions."""

import subprocess
import sys
from contextlib import nullcontext

from scripts.release import images, platforms, volumes
from scripts.release.releases import Release
from scripts.workspace import actions, console, files
from scripts.workspace.errors import YourTurn

NEEDS = "dev"  # the lock that holds pytest
TESTS = "tests/container/test_image.py"
EMULATOR = "an emulator in binfmt_misc runs others: qemu-user-static, or tonistiigi/binfmt"


def test(release: Release) -> None:
    """Tests what was built of `release`, as far as this engine can run it, and notes the success: only a tested image is pushed."""
    note = images.note(release)
    for architecture, image in note["images"].items():
        if image != note["id"] and not platforms.can_run(image):
            text = (
                f"the image for {architecture} was not tested: this engine runs {platforms.here()} alone ({EMULATOR})"
            )
            console.say(f"  skipped    {text}")
            actions.annotate("warning", text)
            continue
        with (
            console.stage("test-image") as stage,
            volumes.filled(release, image) if note["volume"] else nullcontext() as models,
        ):
            stage.result = f"{architecture}: " * (len(note["images"]) > 1) + ask(image, models)
    files.write_json(images.NOTE, note | {"tested": True})


def ask(image: str, models: str | None = None) -> str:
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
        "-p",
        "no:hypothesispytest",  # which imports all of hypothesis
        TESTS,
        f"--image={image}",
        *([f"--models={models}"] if models else []),
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if result.returncode:
        console.say(result.stdout)
        problem = f"the image {image} is refused: {len(failed)} of its tests failed; the first: {failed[0] if failed else 'see above'}"
        raise YourTurn(problem, "mend what the lines above say, then ./pipeline image && ./pipeline test-image")
    return result.stdout.strip().splitlines()[-1].strip("= ")
