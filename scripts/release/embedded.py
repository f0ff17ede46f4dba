"""The embedded server as the base of a release's image, if the settings say server = "embedded": built from this checkout."""

import hashlib
import os
import subprocess
from pathlib import Path

from scripts.workspace import files, settings
from scripts.workspace.errors import YourTurn

NAME = "embedded"  # as the settings call it
DOCKERFILE = "serving/Dockerfile.embedded"
FILES = [
    DOCKERFILE,
    f"{DOCKERFILE}.dockerignore",
    "requirements/serve.txt",
    "requirements/uv.txt",
    "serving/__init__.py",
]
CERTIFICATES = "SSL_CERT_FILE"  # for a machine behind a proxy with its own certificate
BASES = ["PYTHON_IMAGE", "TOOLS_IMAGE"]  # in the environment: other images than the Dockerfile's own
BUILT = "docker needs BuildKit: install buildx (docker-buildx-plugin), then the same command again"


def is_chosen() -> bool:
    return settings.read().server == NAME


def parts() -> dict[str, str]:
    """The parts that decide the answers of this server: the SHA-256 of each of its files."""
    code = [path for path in Path("serving/embedded").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {str(path): files.sha256(path) for path in sorted([*map(Path, FILES), *code])}


def image(architecture: str) -> str:
    """The image's local name: the same files give the same name."""
    listed = "\n".join(f"{name} {value}" for name, value in parts().items())
    return f"embedded-server:{hashlib.sha256(listed.encode()).hexdigest()[:16]}-{architecture}"


def build(architecture: str) -> None:
    """Builds the image. Raises YourTurn with the engine's own message if that fails."""
    secret = ["--secret", f"id=certificates,src={os.environ[CERTIFICATES]}"] if CERTIFICATES in os.environ else []
    bases = [flag for name in BASES if name in os.environ for flag in ("--build-arg", name)]
    what = ["--platform", f"linux/{architecture}", "--tag", image(architecture), "--file", DOCKERFILE]
    command = ["docker", "build", "--quiet", *what, *bases, *secret, "."]
    doing = f"the embedded server's image cannot be built of {DOCKERFILE}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    except FileNotFoundError:
        raise YourTurn(f"{doing}: there is no program docker", "install Docker's command line") from None
    if done.returncode:
        raise YourTurn(f"{doing}: {done.stderr.strip()}", BUILT if "buildx" in done.stderr else "see the lines above")
