"""The model contract: one file in this folder is one model, readable from top to bottom in a minute.

A model file defines, in this order:

    NAME                                what it is served as: /v1/models/NAME
    data() -> Data                      training and held-out data; deterministic, offline
    network() -> keras.Model            the network; or any tf.Module, such as a SavedModel that was trained elsewhere
    fit(network, data, callbacks)       fits it; passes `callbacks` on to Keras; returns Keras's History, a mapping of numbers by epoch, or
                                        nothing. Left out where there is nothing to train
    serving(network)                    the signature: a tf.function with an input_signature, from what a client sends
                                        (numbers, text, PNG or WAV bytes) to a dict of what it gets back. Several: a dict of these by name,
                                        "serving_default" among them
    metrics(predictions, targets)       numbers by name, from what the signature answers to the held-out data. It is given `inputs` or
                                        `weights`, too, if it names such a parameter. Without parameters it returns keras.metrics by name,
                                        which are updated batch by batch: for predictions that do not fit in memory
    GATES                               what those numbers must meet: a candidate that does not is refused
    EXAMPLES                            inputs with their right answers: asked of every deployment

It may define, too:

    SOURCES                             what it uses from elsewhere: {"flats": Source("s3://bucket/flats/*.parquet")}. path("flats") is the
                                        verified file or folder, which `./pipeline fetch` brings; each("flats") gives its files one by one
    LABELS                              the classes, in the order of the network's outputs: the card then shows what is taken for what
    PREDICTIONS                         the outputs that metrics() is given: a name, for an array; several, for a dict. Left out: the only
                                        output, or all of them by name. A dict, too, where the targets are one
    features(inputs)                    the part of the signature before the network: what a client sends → what the network takes
    VARIANTS                            compressed forms of the model, each with what it must save and may cost
    quick(network, data, callbacks)     in place of fit() where that takes hours: a short training, for the check of a pull request alone
    QUICK_GATES                         what its metrics must meet then; every release is fitted by fit() and meets GATES
    SIGNATURE                           a number, raised to declare that clients must change
    refresh()                           brings its data, files below model/, up to date; the only part that may use the network

It is seeded by the pipeline; anything else that is random in it makes two trainings of one commit differ. Only a few environment variables
reach it (scripts/training/surroundings.py), and it may read no file outside of this repository and of the locked packages: what decides a
release is in the release's name. A file whose name begins with an underscore is shared code, not a model.
"""

import base64
import importlib
import inspect
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

PARTS = ["NAME", "data", "network", "serving", "metrics", "GATES", "EXAMPLES"]
OPTIONAL = {
    "fit": None,
    "LABELS": [],
    "PREDICTIONS": None,
    "features": lambda inputs: inputs,
    "VARIANTS": [],
    "SIGNATURE": 1,
    "refresh": None,
    "quick": None,
    "QUICK_GATES": [],
}
PARAMETERS = {
    "data": [],
    "network": [],
    "fit": ["network", "data", "callbacks"],
    "quick": ["network", "data", "callbacks"],
    "serving": ["network"],
    "metrics": ["predictions", "targets"],
    "features": ["inputs"],
    "refresh": [],
}
TARGETS = ["targets", "target", "y_true", "truth"]  # as libraries call them that take them first


class ContractError(Exception):
    """A model file that does not keep the contract; the message names the file and the defect."""


@dataclass(frozen=True)
class Split:
    """Inputs as a client sends them, and what is true of them: the first dimension is the example.

    Each is an array (of numbers, strings or bytes; an object array of arrays where their lengths differ) or a mapping of names to arrays:
    of the signature for inputs, of the heads for targets. Or `inputs` alone is a stream, for data that do not fit in memory: a
    tf.data.Dataset, or anything that can be iterated more than once, of (inputs, targets) or (inputs, targets, weights), each an example
    or a batch.
    `weights` says how much each example counts.
    """

    inputs: Any
    targets: Any = None
    weights: Any = None


@dataclass(frozen=True)
class Data:
    """`train` may be left out where there is no fit()."""

    train: Split = Split(None)
    held_out: Split = Split(None)


@dataclass(frozen=True)
class Source:
    """Data or weights from elsewhere: a file, a pattern, or a folder whose address ends in a slash.

    `url` is any address that fsspec knows, or oci://REGISTRY/NAME:TAG. `sample` is a file below model/ that may stand in its place where
    nobody may read it: in the check of a stranger's pull request. With `stream`, no file is kept: each() gives them one by one, for more
    than the disk holds. All are literals: they are read without running the file.
    """

    url: str
    sample: str | None = None
    stream: bool = False


@dataclass(frozen=True)
class Gate:
    """A bound on a metric of the held-out data; exactly one of `at_most` and `at_least`, in the metric's unit. NaN never passes.

    `slack` is how much worse than the model that serves now a candidate may be (`./pipeline evaluate --against ENV`).
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    slack: float = 0.0

    def passes(self, value: float) -> bool:
        return bool(
            (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)
        )

    def loss(self, before: float, after: float) -> float:
        """By how much `after` is worse than `before`; negative if it is better, NaN if either is."""
        return before - after if self.at_most is None else after - before

    @property
    def bound(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"


TECHNIQUES = ["int8", "litert"]


@dataclass(frozen=True)
class Variant:
    """A compressed form of the model, with its gates.

    `technique` is "int8" (served as NAME_int8 beside the original) or "litert" (a file for phones and small devices, edge/NAME.tflite).
    `size_at_most` is a share of the original's weights in bytes; `loss_at_most` is how much worse than the original it may be in
    `metric`, one that a gate is on, in that metric's unit.
    """

    technique: str
    size_at_most: float
    metric: str
    loss_at_most: float


@dataclass(frozen=True)
class Tolerance:
    """How far a float may be off: by `absolute`, or by the share `relative` of the right answer, whichever is more."""

    absolute: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True)
class Example:
    """Named inputs of a signature, its right answers, and how far (absolute) a float in an answer may be off; all else is exact.

    Values are arrays or nested lists, as in TensorFlow Serving's REST API: numbers, strings, or {"b64": "…"} for bytes. `tolerance` may be
    a Tolerance, or a mapping of outputs to either.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    tolerance: float | Tolerance | Mapping[str, float | Tolerance] = 0.0
    signature: str = "serving_default"


def b64(file: str) -> dict[str, str]:
    """A file below model/ as a value of an example."""
    return {"b64": base64.b64encode((Path(__file__).parent / file).read_bytes()).decode()}


def path(source: str) -> Path:
    """The file or the folder of a source, as model/sources.json notes its content. Raises FileNotFoundError where it was not fetched."""
    # Relative: a path may end up in an export.
    folder = Path(os.path.relpath(Path(__file__).parents[1] / "build/sources"))
    found = [*folder.glob(f"{source}.*"), folder / source]
    if not found[0].exists():
        raise FileNotFoundError(f"the source {source!r} is not here: ./pipeline fetch")
    return found[0]


def each(source: str) -> Iterator[Path]:
    """The files of a source in the order of their paths. Of a stream, each is brought and verified before it is given, and is gone when the
    next one is asked for. Raises OSError for one that cannot be had."""
    place = os.path.relpath(Path(__file__).parents[1] / "build/sources.sock")
    with socket.socket(socket.AF_UNIX) as asking, asking.makefile("rw") as lines:
        if asking.connect_ex(place):  # no source of this model is a stream
            yield from _files(path(source))
            return
        print(source, file=lines, flush=True)
        while given := lines.readline().rstrip("\n"):
            if given.startswith("!"):
                raise OSError(given[1:])
            yield from _files(path(source)) if given == "-" else [Path(given)]
            print(file=lines, flush=True)


def _files(found: Path) -> list[Path]:
    return sorted(file for file in found.rglob("*") if file.is_file()) if found.is_dir() else [found]


def load(module: str) -> ModuleType:
    """Imports `model/MODULE.py` and checks it against the contract. Raises ContractError."""
    file, writes = f"model/{module}.py", sys.dont_write_bytecode
    # Python would take a file that is edited twice in a second, at one length, from its cache.
    sys.dont_write_bytecode = True
    try:
        loaded = importlib.import_module(f"model.{module}")
    except SyntaxError as error:
        raise ContractError(f"{os.path.relpath(error.filename or '')}, line {error.lineno}: {error.msg}") from None
    except ImportError as error:
        raise ContractError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = writes
    if missing := [part for part in PARTS if not hasattr(loaded, part)]:
        raise ContractError(f"{file} defines no {' and no '.join(missing)}")
    for part, default in OPTIONAL.items():
        if not hasattr(loaded, part):
            setattr(loaded, part, default)
    _check(file, loaded)
    vars(loaded)["LABELS"] = [str(label) for label in loaded.LABELS]  # a tuple or an array of strings is one, too
    return loaded


def _check(file: str, loaded: ModuleType) -> None:
    if not isinstance(loaded.NAME, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", loaded.NAME):
        raise ContractError(
            f"{file}: NAME {loaded.NAME!r} may hold only letters, digits, '_', '.' and '-': it is part of a URL"
        )
    if loaded.NAME in (".", ".."):
        raise ContractError(f"{file}: NAME {loaded.NAME!r} is the name of a folder")
    for part, given in PARAMETERS.items():
        if (function := getattr(loaded, part)) is not None or part in PARTS:
            _check_function(file, part, function, given)
    for part, kind in (("GATES", Gate), ("EXAMPLES", Example), ("VARIANTS", Variant), ("QUICK_GATES", Gate)):
        values = getattr(loaded, part)
        if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
            raise ContractError(f"{file}: {part} must be a list of {kind.__name__}(…)")
    for number, example in enumerate(loaded.EXAMPLES, 1):
        if not isinstance(example.inputs, Mapping) or not isinstance(example.outputs, Mapping):
            raise ContractError(f"{file}: the inputs and the outputs of example {number} must be values by name")
    if not _are_strings(loaded.LABELS):
        raise ContractError(f"{file}: LABELS must be a list of strings")
    if not isinstance(loaded.PREDICTIONS, str | None) and not _are_strings(loaded.PREDICTIONS):
        raise ContractError(f"{file}: PREDICTIONS must be the name of an output, or a list of such")
    _check_gates(file, loaded)
    if not loaded.EXAMPLES:
        raise ContractError(f"{file}: EXAMPLES is empty: a deployment could not be verified")
    if type(loaded.SIGNATURE) is not int or loaded.SIGNATURE < 1:
        raise ContractError(f"{file}: SIGNATURE must be a whole number from 1, not {loaded.SIGNATURE!r}")
    _check_variants(file, loaded)


def _check_function(file: str, part: str, function: Any, given: list[str]) -> None:
    """That it can be called as it will be, and, of metrics(), that nobody takes the one for the other."""
    if not callable(function):
        raise ContractError(f"{file}: {part} must be a function")
    signature = inspect.signature(function)
    names = list(signature.parameters)
    if part == "metrics" and not names:
        return
    more = {name: None for name in ("inputs", "weights") if part == "metrics" and name in names}
    takes = f"{part} is given ({', '.join(given)}), and takes ({', '.join(names)})"
    try:
        signature.bind(*given, **more)
    except TypeError as error:
        raise ContractError(f"{file}: {takes}: {error}") from None
    if part == "metrics" and names[0] in TARGETS:
        raise ContractError(f"{file}: {takes}: the other way round")
    if part in ("fit", "quick") and set(names[:3]) == set(given) and names[:3] != given:
        raise ContractError(f"{file}: {takes}: in another order")


def _are_strings(values: Any) -> bool:
    """In an order, which a set has not."""
    in_order = hasattr(values, "__getitem__") and not isinstance(values, str | Mapping)
    return in_order and all(isinstance(value, str) for value in values)


def _check_gates(file: str, loaded: ModuleType) -> None:
    if not loaded.GATES:
        raise ContractError(f"{file}: GATES is empty: a model without a gate is never released")
    if bool(loaded.quick) != bool(loaded.QUICK_GATES) or (loaded.quick and not loaded.fit):
        raise ContractError(
            f"{file}: quick() stands in for fit(), and is judged by QUICK_GATES: it needs both, and they need it"
        )
    for gate in [*loaded.GATES, *loaded.QUICK_GATES]:
        if (gate.at_most is None) == (gate.at_least is None):
            raise ContractError(f"{file}: the gate on {gate.metric!r} needs one bound: at_most or at_least")
        for bound in (gate.at_most, gate.at_least, gate.slack):
            if not isinstance(bound, Real | None):
                raise ContractError(f"{file}: the gate on {gate.metric!r} has the bound {bound!r}, which is no number")


def _check_variants(file: str, loaded: ModuleType) -> None:
    for variant in loaded.VARIANTS:
        if variant.technique not in TECHNIQUES:
            raise ContractError(f"{file}: there is no variant {variant.technique!r}; there is: {', '.join(TECHNIQUES)}")
        if variant.metric not in [gate.metric for gate in loaded.GATES]:
            raise ContractError(
                f"{file}: variant {variant.technique!r} is measured by {variant.metric!r}, which no gate is on"
            )
    techniques = [variant.technique for variant in loaded.VARIANTS]
    if len(set(techniques)) < len(techniques):
        raise ContractError(f"{file}: VARIANTS names a technique twice")
