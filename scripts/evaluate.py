"""Judges each candidate on held-out data: metrics against gates -> build/NAME/evaluation.json and a model card; refuses by exit 1"""

import argparse
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from scripts import _against, _answers, _console, _environments, _files, _github, _models, _served, _variants
from scripts._errors import YourTurn
from scripts._release import Release

if TYPE_CHECKING:
    import numpy as np

    from model import Split

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _models.add_argument(parser)
    parser.add_argument(
        "--against",
        metavar="ENV",
        action="append",
        help="refuse what is worse than the release that ENV serves now, or breaks its clients; may be repeated",
    )


def run(model: list[str] | None, against: list[str] | None) -> int:
    served, refused = {name: _read_served(name) for name in against or []}, []
    for module in _models.chosen(model):
        try:
            with _console.stage("evaluate") as stage:
                stage.result = evaluate(module, served)
        except YourTurn as error:  # the other models' tables are worth seeing too
            refused.append(error)
    if refused:
        raise YourTurn("; ".join(error.problem for error in refused), refused[0].remedy)
    _console.say("next: ./pipeline export")
    return 0


def _read_served(environment: str) -> Release | None:
    """What the ledger of `environment` says is served, with its files. Raises YourTurn where they cannot be had."""
    target = _environments.find(environment)
    label = target.ledger()
    return _served.with_models(target.find(label).release) if label else None


def evaluate(module: str, served: Mapping[str, Release | None] = MappingProxyType({})) -> str:
    """Writes the evaluation and the card whatever the verdict. Raises YourTurn if refused.

    `served` is what environments serve, by their names: the candidate is judged against each of those, too.
    """
    model = _models.load(module)
    history = _models.record(module, "history.json", "train")
    folder, held_out = Path("build") / module, model.data().held_out
    network = _models.network(module)
    serving = model.serving(network)
    outputs = _answers.ask(serving, held_out.inputs)
    predictions = _answers.predictions(module, model, outputs)
    metrics = {name: float(value) for name, value in model.metrics(predictions, held_out.targets).items()}
    gates = _judge(module, model, metrics)
    original = _variants.Original(module, model, network, metrics, held_out)
    evaluation = {
        "id": history["id"],
        "model": history["model"],
        "metrics": _finite(metrics),
        "gates": gates,
        "size": original.size,
        "milliseconds": _variants.latency(lambda inputs: _answers.ask(serving, inputs), held_out.inputs[:1]),
        "variants": _variants.judge(original, folder),
        "against": [],
    }
    if served:
        candidate = _against.Candidate(module, model, serving, _answers.signature(serving), held_out, outputs, metrics)
        evaluation["against"] = [_against.compare(candidate, name, release) for name, release in served.items()]
    return _conclude(module, model, evaluation, history, predictions, held_out)


def _conclude(
    module: str, model: ModuleType, evaluation: dict, history: dict, predictions: "np.ndarray", held_out: "Split"
) -> str:
    from scripts import _card

    folder, gates = Path("build") / module, list(_gates(evaluation))
    evaluation["passed"] = all(gate["passed"] for gate in gates)
    _console.table(["metric", "bound", "value", "verdict"], [_row(gate) for gate in gates])
    _card.write(folder, model, evaluation, history, predictions, held_out)
    _files.write_json(folder / "evaluation.json", evaluation)
    _github.summary((folder / "summary.md").read_text())
    _refuse_failed(module, gates)
    return f"{module}: {len(gates)} of {len(gates)} gates passed; {folder}/card.md"


def _gates(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that must be met: the model's own, its variants', and those against what serves."""
    yield from evaluation["gates"]
    for variant in evaluation["variants"]:
        yield from (gate | {"metric": f"{variant['technique']}: {gate['metric']}"} for gate in variant["gates"])
    for comparison in evaluation["against"]:
        yield from comparison["gates"]


def _judge(module: str, model: ModuleType, metrics: dict[str, float]) -> list[dict[str, Any]]:
    for gate in model.GATES:
        if gate.metric not in metrics:
            raise YourTurn(
                f"model/{module}.py: there is a gate on {gate.metric!r}, but metrics() gives only {', '.join(metrics)}",
                f"edit model/{module}.py, then ./pipeline train",
            )
    values = {gate.metric: metrics[gate.metric] for gate in model.GATES}
    return [
        {"metric": g.metric, "bound": g.bound, "value": _finite(values)[g.metric], "passed": g.passes(values[g.metric])}
        for g in model.GATES
    ]


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: null stands for it."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _row(gate: dict[str, Any]) -> list[str]:
    value = "not a number" if gate["value"] is None else f"{gate['value']:.4g}"
    return [gate["metric"], gate["bound"], value, "passed" if gate["passed"] else "REFUSED"]


def _refuse_failed(module: str, gates: list[dict[str, Any]]) -> None:
    failed = [
        f"{metric} is {value}, which must be {bound}"
        for metric, bound, value, verdict in map(_row, gates)
        if verdict == "REFUSED"
    ]
    if failed:
        raise YourTurn(
            f"{module} is refused: {', '.join(failed)}",
            f"look at build/{module}/card.md, change model/{module}.py, then ./pipeline train",
        )
