"""Other programs: their output, and a clear error if one is not installed."""

import subprocess
from collections.abc import Mapping, Sequence

from scripts.workspace.errors import YourTurn


def run(
    command: Sequence[str], absent: YourTurn, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `command` to its end, away from the terminal's input. Raises `absent` if there is no such program."""
    try:
        return subprocess.run(command, input=stdin, capture_output=True, env=environment)
    except FileNotFoundError:
        raise absent from None


def text(
    command: Sequence[str], absent: YourTurn, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `command` and decodes its output: UTF-8 in every locale, invalid bytes marked as such."""
    done = run(command, absent, stdin.encode(), environment)
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, out, err)
