"""Runs the test suite, the whole of it in two processes; arguments go on to pytest"""

import subprocess
import sys

NEEDS = "dev"
PASSES_ON = True  # unknown options are pytest's


WHOLE = ["--numprocesses=2", "--dist=loadscope"]  # two: while one waits for a cluster, the other trains


def run(rest: list[str]) -> int:
    chosen = any(not argument.startswith("-") for argument in rest)
    return subprocess.run([sys.executable, "-m", "pytest", *([] if chosen else WHOLE), *rest]).returncode and 1
