"""Runs the test suite, the whole of it in four processes; arguments go on to pytest"""

import argparse
import subprocess
import sys

from scripts.release import images

NEEDS = "dev"
PASSES_ON = True  # unknown options are pytest's


# Four processes on two cores: those of the cluster, the workflows and the containers wait more than they work.
# Parts begin in the order of tests/conftest.py, the longest first.
WHOLE = ["--numprocesses=4", "--dist=loadscope", "--no-loadscope-reorder"]
OF_THE_SERVER = ["tests/conformance", "tests/container", "tests/cluster/test_deploy.py::test_there_and_back"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serving-image",
        metavar="IMAGE",
        nargs="?",
        const="",
        help="on this image of TensorFlow Serving, or on the one that serving/Dockerfile names: its conformance, containers and a rollout",
    )


def run(rest: list[str], serving_image: str | None) -> int:
    chosen = [argument for argument in rest if not argument.startswith("-")]
    more = [] if chosen else WHOLE
    if serving_image is not None:
        more = [f"--serving-image={serving_image or images.base()}", *([] if chosen else OF_THE_SERVER)]
    return subprocess.run([sys.executable, "-m", "pytest", *more, *rest]).returncode and 1
