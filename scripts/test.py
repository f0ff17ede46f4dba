"""Runs the test suite, the whole of it in three processes; arguments go on to pytest"""

import subprocess
import sys

NEEDS = "dev"
PASSES_ON = True  # unknown options are pytest's


# Three processes: two train while one waits for a cluster. Parts begin in the order of tests/conftest.py, the longest first.
WHOLE = ["--numprocesses=3", "--dist=loadscope", "--no-loadscope-reorder"]


def run(rest: list[str]) -> int:
    chosen = any(not argument.startswith("-") for argument in rest)
    return subprocess.run([sys.executable, "-m", "pytest", *([] if chosen else WHOLE), *rest]).returncode and 1
