"""Builds the release into an image on TensorFlow Serving: build/release + serving/ -> an image of the local engine"""

from scripts.release import images, releases
from scripts.workspace import console


def run() -> int:
    release = releases.read()
    release.check_files()
    images.build(release)
    console.say("next: ./pipeline test-image")
    return 0
