"""Judges a trained model on held-out data: metrics against gates, its variants, and the models that serve now."""

import math
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from scripts.release import identity, sources
from scripts.release.releases import Release
from scripts.reports import card
from scripts.training import batches, beside, fitting, models, networks, scoring, separation, signatures, variants
from scripts.training.scoring import HeldOut, Score
from scripts.training.signatures import DEFAULT
from scripts.workspace import actions, console, files
from scripts.workspace.errors import YourTurn


class Shown:
    """The held-out data for the card: the scored examples, and the inputs of a few."""

    def __init__(self, held_out: HeldOut, score: Score):
        self.targets, self.weights, self._held_out = score.targets, score.weights, held_out

    def inputs(self, indices: list[int]) -> Any:
        """The inputs of the examples with these numbers, in this order; reads the data once more."""
        wanted, found, start = set(indices), {}, 0
        for batch in self._held_out:
            end = start + batches.length(batch.inputs)
            found |= {
                i: batches.rows(batch.inputs, slice(i - start, i - start + 1)) for i in wanted if start <= i < end
            }
            start = end
        return batches.join([found[index] for index in indices])


def evaluate(module: str, modules: list[str], environments: Mapping[str, Release | None]) -> str:
    """Writes the evaluation and the card of a model in the release of `modules`, whatever the verdict. Raises YourTurn if it is refused.

    `environments` holds the release that each environment serves: the candidate is judged against these too. After a quick training only
    the model's QUICK_GATES count.
    """
    model = fitting.prepare(module)
    history = models.record(module, "history.json", "train", quick=True)
    quick = history.get("quick", False)
    network = networks.load(model, models.state(module))
    named = signatures.of_model(model, network)
    default = named[DEFAULT]
    data = model.data()
    held_out = HeldOut(model, data.held_out, default)
    score = scoring.score(held_out, default.ask)
    original = variants.Original(model, network, default, score.metrics, held_out)
    candidate = beside.Candidate(module, model, named, held_out, score.metrics)
    evaluation = {
        "id": identity.of_release(modules),
        "parts": models.parts(module, "evaluation.json"),
        "model": history["model"],
        "sources": sources.stated(identity.model_files(module)),
        "examples": score.examples,
        "trained_on": separation.shared(data) if model.fit else None,
        "metrics": _finite(score.metrics),
        "gates": _judge(model.QUICK_GATES if quick else model.GATES, score.metrics),
        "quick": quick,
        "size": networks.size(network),
        "milliseconds": variants.latency(default.ask, held_out.first()),
        "variants": [] if quick else variants.judge(original, models.folder(module)),
        "against": []
        if quick
        else [beside.compare(candidate, name, release) for name, release in environments.items()],
    }
    return _conclude(module, model, evaluation, history, score, held_out)


def _conclude(module: str, model: ModuleType, evaluation: dict, history: dict, score: Score, held_out: HeldOut) -> str:
    folder, gates = models.folder(module), list(_gates(evaluation))
    evaluation["passed"] = all(gate["passed"] for gate in gates)
    console.table(["metric", "bound", "value", "verdict"], [_row(gate) for gate in gates])
    if both := evaluation["trained_on"]:
        console.say(f"  note       {both:,} of the {score.examples:,} held-out inputs are among the training data")
    card.write(folder, model, evaluation, history, score.predictions, Shown(held_out, score))
    files.write_json(folder / "evaluation.json", evaluation)
    actions.summary((folder / "summary.md").read_text())
    _refuse_failed(module, gates)
    kind = "QUICK_GATES" if evaluation["quick"] else "gates"
    return f"{module}: {len(gates)} of {len(gates)} {kind} passed; {folder}/card.md"


def _gates(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All gates: the model's own, its variants', and those against the models that serve."""
    yield from evaluation["gates"]
    for variant in evaluation["variants"]:
        yield from (gate | {"metric": f"{variant['technique']}: {gate['metric']}"} for gate in variant["gates"])
    for comparison in evaluation["against"]:
        yield from comparison["gates"]


def _judge(gates: list, metrics: dict[str, float]) -> list[dict[str, Any]]:
    values = _finite(metrics)
    return [
        {"metric": g.metric, "bound": g.bound, "value": values[g.metric], "passed": g.passes(metrics[g.metric])}
        for g in gates
    ]


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """The metrics with null in place of NaN, since JSON has none."""
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
            f"look at build/{module}/card.md, change model/{module}.py, then ./pipeline up",
        )
