"""Inputs of every shape for SavedModels, with oneDNN's kernels, in a process of its own: what ends that would end a server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.fork import ROOT

SHAPES = [
    (),
    (0,),
    (1,),
    (2, 4),
    (0, 4),
    (1, 8, 1),
    (1, 8, 8, 1),
    (0, 8, 8, 1),
    (1, 8, 8, 3),
    (1, 1, 1, 1),
    (1, 4, 4, 4, 1),
    (1, 1, 1, 1, 1),
    (1,) * 6,
]


class Answer(NamedTuple):
    """To a request in which the input `name` has a shape; `fits` if the signature takes that, `error` is empty if there is none."""

    model: str
    signature: str
    name: str
    shape: list[int]
    fits: bool
    error: str


def asked(folders: Iterable[Path]) -> list[Answer]:
    """The answers of each SavedModel to SHAPES, and to its own with each fixed dimension wrong by one, for each of its inputs."""
    command = [sys.executable, "-m", "tests.support.shapes", *map(str, folders)]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    answers = [Answer(*json.loads(line)) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{done.returncode} after {answers[-1:]}: {done.stderr[-2000:]}"
    return answers


def refused_by_name(folders: Iterable[Path]) -> list[Answer]:
    """Those that do not fit, once each has been refused by the name of its input. Fails if a process ends."""
    found = [answer for answer in asked(folders) if not answer.fits]
    assert [answer for answer in found if f"input_{answer.name}" not in answer.error] == []
    return found


def _answers(folder: Path) -> Iterator[Answer]:
    from serving.embedded.errors import StatusError
    from serving.embedded.tensorflow_c import Session

    session = Session(str(folder), ["serve"], b"")
    for key, signature in session.meta_graph.signature_def.items():
        if key.startswith("__"):
            continue
        infos = dict(signature.inputs)
        outputs = [session.endpoint(info.name) for info in signature.outputs.values()]
        program = session.program([session.endpoint(info.name) for info in infos.values()], outputs)
        for name, info in infos.items():
            for shape in [*SHAPES, *_near(info)]:
                given = [_tensor(other, shape if other is info else _own(other)) for other in infos.values()]
                try:
                    error = program(given) and ""
                except StatusError as refusal:
                    error = str(refusal)
                yield Answer(str(folder), key, name, list(shape), _fits(info, shape), error)


def _own(info: Any, free: int = 1) -> tuple[int, ...]:
    return tuple(free if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)


def _near(info: Any) -> Iterator[tuple[int, ...]]:
    own = _own(info)
    for axis, dimension in enumerate(info.tensor_shape.dim):
        if dimension.size >= 0:
            yield (*own[:axis], own[axis] + 1, *own[axis + 1 :])


def _fits(info: Any, shape: tuple[int, ...]) -> bool:
    sizes = [dimension.size for dimension in info.tensor_shape.dim]
    same = len(sizes) == len(shape) and all(size in (-1, given) for size, given in zip(sizes, shape, strict=True))
    return info.tensor_shape.unknown_rank or same


def _tensor(info: Any, shape: tuple[int, ...]) -> Any:
    import numpy as np

    from serving.embedded import tensors

    values = np.ones(shape)
    kind = tensors.NUMPY.get(info.dtype)
    return tensors.Tensor(info.dtype, shape, values.astype(kind) if kind else [b"x"] * values.size)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for found in _answers(Path(argument)):
            print(json.dumps(found), flush=True)
