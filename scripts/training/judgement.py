"""Judges a trained model on held-out data: metrics against gates, its variants, and what serves now."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from scripts.release.releases import Release
from scripts.reports import card
from scripts.training import answers, beside, models, variants
from scripts.workspace import actions, console, files
from scripts.workspace.errors import YourTurn

if TYPE_CHECKING:
    import numpy as np

    from model import Split


def evaluate(module: str, environments: Mapping[str, Release | None] = MappingProxyType({})) -> str:
    """Writes the evaluation and the card whatever the verdict. Raises YourTurn if refused.

    `environments` is what environments serve, by their names: the candidate is judged against each of those, too.
    """
    model = models.load(module)
    history = models.record(module, "history.json", "train")
    folder, held_out = Path("build") / module, model.data().held_out
    network = models.network(module)
    serving = model.serving(network)
    outputs = answers.ask(serving, held_out.inputs)
    predictions = answers.predictions(module, model, outputs)
    metrics = {name: float(value) for name, value in model.metrics(predictions, held_out.targets).items()}
    gates = _judge(module, model, metrics)
    original = variants.Original(module, model, network, metrics, held_out)
    evaluation = {
        "id": history["id"],
        "model": history["model"],
        "metrics": _finite(metrics),
        "gates": gates,
        "size": original.size,
        "milliseconds": variants.latency(lambda inputs: answers.ask(serving, inputs), held_out.inputs[:1]),
        "variants": variants.judge(original, folder),
        "against": [],
    }
    if environments:
        candidate = beside.Candidate(module, model, serving, answers.signature(serving), held_out, outputs, metrics)
        evaluation["against"] = [beside.compare(candidate, name, release) for name, release in environments.items()]
    return _conclude(module, model, evaluation, history, predictions, held_out)


def _conclude(
    module: str, model: ModuleType, evaluation: dict, history: dict, predictions: "np.ndarray", held_out: "Split"
) -> str:
    folder, gates = Path("build") / module, list(_gates(evaluation))
    evaluation["passed"] = all(gate["passed"] for gate in gates)
    console.table(["metric", "bound", "value", "verdict"], [_row(gate) for gate in gates])
    card.write(folder, model, evaluation, history, predictions, held_out)
    files.write_json(folder / "evaluation.json", evaluation)
    actions.summary((folder / "summary.md").read_text())
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
