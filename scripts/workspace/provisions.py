"""What a training in a cluster is given: the table [tool.pipeline.training], and for one model [tool.pipeline.training.MODEL]."""

import re
from dataclasses import dataclass, field, fields
from typing import Any

QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?")
ARCHITECTURE = "kubernetes.io/arch"  # a label that every node has
ARCHITECTURES = ["amd64", "arm64"]  # for which there is TensorFlow


class Wrong(ValueError):
    """A provision that makes no sense; the message says why."""


@dataclass(frozen=True)
class Provision:
    """Each field's comment stands beside it in pyproject.toml."""

    workers: int = 1
    cpu: str = "2"
    memory: str = "4Gi"
    gpus: int = 0
    nodes: dict[str, str] = field(default_factory=dict)
    queue: str = ""
    registry: str = ""
    wait: int = 300


def read(table: dict[str, Any], model: str = "") -> Provision:
    """The provision of `model`: what its own table says, else what is said for all. Raises Wrong."""
    own = {key: value for key, value in table.items() if isinstance(value, dict) and key != "nodes"}
    common = {key: value for key, value in table.items() if key not in own}
    for name, values in [("", common), *own.items()]:
        _check(f"{name}: " * bool(name), values)
    return Provision(**common | own.get(model, {}))


def _check(where: str, values: dict[str, Any]) -> None:
    known = {one.name: getattr(Provision(), one.name) for one in fields(Provision)}
    for key, value in values.items():
        if key not in known:
            raise Wrong(f"{where}has {key!r}; there is: {', '.join(known)}")
        if type(value) is not type(known[key]):
            raise Wrong(f"{where}{key} must be like {known[key]!r}, not {value!r}")
        if key in ("cpu", "memory") and not QUANTITY.fullmatch(value):
            raise Wrong(
                f"{where}{key} must be a quantity as Kubernetes writes it, such as {known[key]!r}, not {value!r}"
            )
        if key == "workers" and value < 1:
            raise Wrong(f"{where}workers must be a number from 1 on, not {value!r}")
        if key in ("gpus", "wait") and value < 0:
            raise Wrong(f"{where}{key} must be a number from 0 on, not {value!r}")
        if key == "nodes" and not all(isinstance(label, str) for label in value.values()):
            raise Wrong(f"{where}nodes must be labels, which are strings, not {value!r}")
    architecture = values.get("nodes", {}).get(ARCHITECTURE, ARCHITECTURES[0])
    if architecture not in ARCHITECTURES:
        raise Wrong(
            f"{where}nodes has {ARCHITECTURE} = {architecture!r}; TensorFlow is for {' and '.join(ARCHITECTURES)}"
        )
