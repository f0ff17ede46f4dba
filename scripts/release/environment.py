"""The locked environment of a training as an image, without code: built once for each state of the lock."""

from scripts.release import dockerfiles

DOCKERFILE = "requirements/Dockerfile"
FILES = [DOCKERFILE, "requirements/train.txt", "requirements/uv.txt"]


def image(architecture: str) -> str:
    """The image's local name: the same files give the same name."""
    return f"environment:{dockerfiles.name(dockerfiles.parts(FILES))}-{architecture}"


def build(architecture: str) -> None:
    dockerfiles.build(DOCKERFILE, "requirements", image(architecture), architecture, "the environment of a training")
