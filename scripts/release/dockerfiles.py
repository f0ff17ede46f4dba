"""Images that are built of a Dockerfile of this repository, by BuildKit, for any architecture; their name says what is in them."""

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.workspace import files
from scripts.workspace.errors import YourTurn

CERTIFICATES = "SSL_CERT_FILE"  # for a machine behind a proxy with its own certificate
BASES = ["PYTHON_IMAGE", "TOOLS_IMAGE"]  # in the environment: other images than the Dockerfile's own
BUILT = "docker needs BuildKit: install buildx (docker-buildx-plugin), then the same command again"


def parts(paths: Iterable[Path | str]) -> dict[str, str]:
    """The SHA-256 of each file, by its path."""
    return {str(path): files.sha256(Path(path)) for path in paths}


def name(parts: dict[str, str]) -> str:
    """The same files give the same name."""
    listed = "\n".join(f"{name} {value}" for name, value in parts.items())
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def build(dockerfile: str, folder: str, tag: str, architecture: str, what: str) -> None:
    """Builds the image `tag`, with the context `folder`. Raises YourTurn with the engine's own message if that fails."""
    secret = ["--secret", f"id=certificates,src={os.environ[CERTIFICATES]}"] if CERTIFICATES in os.environ else []
    bases = [flag for name in BASES if name in os.environ for flag in ("--build-arg", name)]
    flags = ["--platform", f"linux/{architecture}", "--tag", tag, "--file", dockerfile]
    command = ["docker", "build", "--quiet", *flags, *bases, *secret, folder]
    doing = f"{what} cannot be built of {dockerfile}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    except FileNotFoundError:
        raise YourTurn(f"{doing}: there is no program docker", "install Docker's command line") from None
    if done.returncode:
        raise YourTurn(f"{doing}: {done.stderr.strip()}", BUILT if "buildx" in done.stderr else "see the lines above")
