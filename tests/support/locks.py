"""The locks of a fork, looked at without installing what they hold."""

import subprocess
import sys

from tests.support.fork import Fork


def look_at_locks(fork: Fork) -> subprocess.CompletedProcess[str]:
    """As `lint locks` does, which would first install what they hold."""
    command = [sys.executable, "-m", "scripts.workspace.locks"]
    return subprocess.run(command, cwd=fork.root, capture_output=True, text=True)
