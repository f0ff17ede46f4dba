"""Other programs: what they print, and a clear word where one is not installed."""

import subprocess
from collections.abc import Mapping, Sequence

from scripts.workspace.errors import YourTurn


def run(
    command: Sequence[str], absent: YourTurn, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `command` to its end, away from the terminal's input. Raises `absent` where there is no such program."""
    try:
        return subprocess.run(command, input=stdin, capture_output=True, env=environment)
    except FileNotFoundError:
        raise absent from None


def text(
    command: Sequence[str], absent: YourTurn, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same for what is text: UTF-8 in every locale, and what is none is marked as such."""
    done = run(command, absent, stdin.encode(), environment)
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, out, err)
