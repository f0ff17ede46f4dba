"""What merging this branch would change, as Markdown: the release, its metrics beside main's, the manifests -> build/report.md

--against REVISION is the target of the merge; the report covers this branch's changes since it left the target. --post NUMBER posts the
report as the one comment on a pull request, and rewrites that comment the next time.
"""

import argparse
import contextlib
import os
from typing import Any

from scripts.github import gh, sticky
from scripts.ledger import kustomization, overlays, rendering
from scripts.ledger.overlays import Overlay
from scripts.release import identity
from scripts.release.releases import Release
from scripts.reports import wording
from scripts.steps import REPORT, scope
from scripts.training import models
from scripts.workspace import actions, console, files, git
from scripts.workspace.errors import YourTurn

SHOWN = 60  # lines of one environment's manifests: what a person reads in a comment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", metavar="REVISION", default="origin/main", help="default: origin/main")
    parser.add_argument("--post", type=int, metavar="NUMBER", help="post build/report.md to that pull request")


def run(against: str, post: int | None) -> int:
    if post:
        if not REPORT.exists():
            raise YourTurn(f"there is no {REPORT} to post", "./pipeline report")
        console.say(f"  report     {sticky.comment(post, 'report', REPORT.read_text())}")
        return 0
    base = _base(against)
    text = "\n".join(["## What merging this changes", "", *_model(base), *_overlays(base)])
    files.write(REPORT, text + "\n")
    actions.summary(text)
    console.tell(text)
    console.say(f"  report     {REPORT}")
    return 0


def _base(against: str) -> str:
    if not git.exists(against):
        raise YourTurn(f"this clone has no revision {against!r}", "git fetch, or name another one with --against")
    return git.text("merge-base", against, "HEAD")


def _model(base: str) -> list[str]:
    """The release of this branch beside main's last one, which is in the first environment's ledger."""
    first = overlays.first()
    before = Overlay(first).release(base) if kustomization.find(f"k8s/overlays/{first}", base) else None
    modules = models.chosen(None)
    name = identity.of_release(modules)[:12]
    stays = before.name == name if before else not scope.changes_release(base)
    if stays:
        head = f"**Release `{name}`** stays: nothing that decides its answers changes, so nothing is trained or built."
    else:
        head = (
            f"**Release `{name}`** takes the place of {f'`{before.name}`' if before else 'none: it is the first one'}."
        )
    rows = [row for module in modules for row in _metrics(module, before, stays)]
    if not rows:
        return [head, ""]
    table = ["| model | metric | main | here | must be |", "|---|---|---|---|---|", *rows]
    return [head, "", *table, "", *_beside(modules), *_cards(modules)]


def _cards(modules: list[str]) -> list[str]:
    """Where they are, if this is the run of a workflow: it keeps them with this report."""
    run = os.environ.get("GITHUB_RUN_ID")
    if not run or not any((models.folder(module) / "card.md").exists() for module in modules):
        return []
    page = gh.url(f"actions/runs/{run}#artifacts")
    return [
        f"The model cards with their plots, and all confusions, are in the artifact `report` of [this run]({page}).",
        "",
    ]


def _beside(modules: list[str]) -> list[str]:
    """The results of `evaluate --against ENV`, by environment: both models on the same data, and the changes for clients."""
    found: dict[str, list[dict[str, Any]]] = {}
    for module in modules:
        with contextlib.suppress(YourTurn):
            for comparison in models.record(module, "evaluation.json", "evaluate", quick=True)["against"]:
                found.setdefault(comparison["environment"], []).append(comparison)
    return [f"#{wording.markdown(comparisons)}" for comparisons in found.values()]


def _metrics(module: str, before: Release | None, stays: bool) -> list[str]:
    """A row for each metric of a model: main's value, this branch's value, and the verdict if the metric has a gate."""
    try:
        evaluation = models.record(module, "evaluation.json", "evaluate", quick=True)
    except YourTurn as error:
        if stays:  # the model was not trained again
            return []
        return [f"| {module} | – | – | {error.problem} | |"]
    served = before.models if before else []
    then = next((m["metrics"] for m in served if m["module"] == module and "variant_of" not in m), {})
    gates = {gate["metric"]: gate for gate in evaluation["gates"]}
    name_of = f"{module}, after a **quick training**" if evaluation.get("quick") else module
    return [
        f"| {name_of} | {name} | {_number(then.get(name))} | {_number(value)} | {_verdict(gates.get(name))} |"
        for name, value in evaluation["metrics"].items()
    ]


def _verdict(gate: dict[str, Any] | None) -> str:
    return f"{gate['bound']}{'' if gate['passed'] else ': **refused**'}" if gate else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _overlays(base: str) -> list[str]:
    lines = ["### Manifests", ""]
    for environment in overlays.names():
        changes = _changes(environment, base)
        if not changes:
            lines.append(f"- {environment}: no difference")
            continue
        more = [f"… and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
        title = f"{environment}: {len(changes)} difference{'s' * (len(changes) > 1)}"
        fence = "`" * 8  # longer than any in a manifest
        block = [fence, *changes[:SHOWN], *more, fence]
        lines += ["", f"<details><summary>{title}</summary>", "", *block, "", "</details>", ""]
    return lines


def _changes(environment: str, base: str) -> list[str]:
    now = rendering.render(environment, "HEAD", None)
    if not kustomization.find(f"k8s/overlays/{environment}", base):
        return [f"{rendering.title(manifest)}: is added" for manifest in now]
    return rendering.between(rendering.render(environment, base, None), now)
