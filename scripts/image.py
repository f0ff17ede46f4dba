"""Builds the release into an image on TensorFlow Serving: build/release + serving/ -> an image of the local engine"""

from scripts import _console, _image, _release


def run() -> int:
    release = _release.read()
    release.check_files()
    build(release)
    _console.say("next: ./pipeline test-image")
    return 0


def build(release: _release.Release) -> None:
    with _console.stage("image") as stage:
        stage.result = _image.build(release)
