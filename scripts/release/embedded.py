"""The embedded server as the base of a release's image, if the settings say server = "embedded": built from this checkout."""

from pathlib import Path

from scripts.release import dockerfiles
from scripts.workspace import settings

NAME = "embedded"  # as the settings call it
DOCKERFILE = "serving/Dockerfile.embedded"
FILES = [
    DOCKERFILE,
    f"{DOCKERFILE}.dockerignore",
    "requirements/serve.txt",
    "requirements/uv.txt",
    "serving/__init__.py",
]


def is_chosen() -> bool:
    return settings.read().server == NAME


def parts() -> dict[str, str]:
    """The parts that decide the answers of this server: the SHA-256 of each of its files."""
    code = [path for path in Path("serving/embedded").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return dockerfiles.parts(sorted([*map(Path, FILES), *code]))


def image(architecture: str) -> str:
    """The image's local name: the same files give the same name."""
    return f"embedded-server:{dockerfiles.name(parts())}-{architecture}"


def build(architecture: str) -> None:
    dockerfiles.build(DOCKERFILE, ".", image(architecture), architecture, "the embedded server's image")
