"""A SavedModel asked by TensorFlow's C API in a process of its own: what a request costs in the graph alone, without a server's work."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.support.fork import ROOT

ROUNDS, SECONDS = 20, 0.1  # rounds of about so long: the fastest of each counts, since other load disturbs it least


class Asked:
    """`with Asked(folder, batch):` is a process with the model loaded, on one thread. `answer` is what it answers to random numbers."""

    def __init__(self, folder: Path, batch: int, **environment: str) -> None:
        self._command = [sys.executable, "-m", "tests.benchmarks.asking", str(folder), str(batch)]
        self._environment = os.environ | environment

    def __enter__(self) -> Self:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, **pipes)
        self.answer = np.array(json.loads(self._process.stdout.readline()))
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def seconds(self, count: int) -> float:
        """The processor's time that `count` answers take: other load does not count in it."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def microseconds(*asked: Asked) -> list[float]:
    """Of the processor's time, for one answer of each; all are asked in turn."""
    counts = [max(1, int(20 * SECONDS / one.seconds(20))) for one in asked]
    rounds = [[one.seconds(count) / count for one, count in zip(asked, counts, strict=True)] for _ in range(ROUNDS)]
    return [1e6 * min(times) for times in zip(*rounds, strict=True)]


def _main(folder: str, batch: str) -> None:
    from serving.embedded import tensors
    from serving.embedded.protos import config_pb2
    from serving.embedded.tensorflow_c import IN_CALLER, Session

    config = config_pb2.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    session = Session(folder, ["serve"], config.SerializeToString())
    signature = session.meta_graph.signature_def["serving_default"]
    ((given,), (wanted,)) = (list(named.values()) for named in (signature.inputs, signature.outputs))
    program = session.program([session.endpoint(given.name)], [session.endpoint(wanted.name)])
    shape = (int(batch), *(dimension.size for dimension in given.tensor_shape.dim[1:]))
    inputs = [tensors.Tensor(given.dtype, shape, np.random.default_rng(0).random(shape, "float32"))]
    print(json.dumps(program(inputs)[0].values.tolist()), flush=True)
    for line in sys.stdin:
        begin = time.process_time()
        for _ in range(int(line)):
            program(inputs, IN_CALLER)
        print(time.process_time() - begin, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
