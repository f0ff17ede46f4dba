"""The service level objectives of an environment, and their alerting rules: the PrometheusRules of k8s/components/monitoring."""

import re
from typing import Any

from scripts.workspace import settings
from scripts.workspace.errors import YourTurn

Manifest = dict[str, Any]
NAME = "serving-objectives"  # the PrometheusRule
COMMON = "serving"  # the one that is the same in every environment
AVAILABILITY, LATENCY = "serving:objective_availability:ratio", "serving:objective_latency:ratio"
# Bucket bounds of TensorFlow Serving's latency histogram, in µs, as its metrics page writes them.
BOUNDS = [f"{10 * 1.8**power:g}" for power in range(33)]


def check(manifests: list[Manifest], folder: str) -> None:
    """Raises YourTurn for objectives that no alert can use."""
    for rule in (rule for m in _rules(manifests) if m["metadata"]["name"] == NAME for rule in _in_groups(m)):
        settings.refuse_unknown(
            f"objective in {folder}/objectives.yaml", rule.get("record", ""), [AVAILABILITY, LATENCY]
        )
    for record in (AVAILABILITY, LATENCY):
        found = [rule for m in _rules(manifests) for rule in _in_groups(m) if rule.get("record") == record]
        if found or any(_rules(manifests)):
            _check(record, found, f"{folder}/objectives.yaml")


def _check(record: str, found: list[dict[str, Any]], file: str) -> None:
    edit = f"edit {file}, and commit"
    said = [str(rule["expr"]) for rule in found]
    if len(said) != 1:
        problem = f"contradicts itself: {record} is {' and '.join(said)}" if said else f"says nothing of {record}"
        raise YourTurn(f"{file} {problem}", f"say it once: {edit}")
    number = re.fullmatch(r"vector\((\d*\.?\d+)\)", said[0])
    if not number or not 0 < float(number[1]) < 1:
        why = "of 1 leaves no room for a single error" if number and float(number[1]) >= 1 else "is a share below 1"
        raise YourTurn(f"{file}: {record} is {said[0]}; an objective {why}", f"vector(0.999), say: {edit}")
    bound = found[0].get("labels", {}).get("le")
    if record == LATENCY and bound not in BOUNDS:
        raise YourTurn(f"{file}: the server counts no latency at le: {bound!r}{_near(bound)}", edit)


def _near(bound: object) -> str:
    """The nearest bounds below and above, in words, if `bound` is a number."""
    try:
        wanted = float(str(bound))
    except ValueError:
        return "; docs/alerts.md lists the bounds"
    place = sum(float(b) < wanted for b in BOUNDS)
    near = BOUNDS[max(0, place - 1) : place + 1]
    return f"; it does at {' and '.join(repr(bound) for bound in near)}"


def plain(environments: dict[str, list[Manifest]]) -> dict[str, Any]:
    """The rules of several environments as one file of rules for a Prometheus without the operator."""
    groups = {}
    for environment, manifests in environments.items():
        for manifest in _rules(manifests):
            suffix = "" if manifest["metadata"]["name"] == COMMON else f"-{environment}"
            for group in manifest["spec"]["groups"]:
                groups[group["name"] + suffix] = group | {"name": group["name"] + suffix}
    return {"groups": list(groups.values())}


def _rules(manifests: list[Manifest]) -> list[Manifest]:
    return [m for m in manifests if m["kind"] == "PrometheusRule"]


def _in_groups(manifest: Manifest) -> list[dict[str, Any]]:
    return [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]
