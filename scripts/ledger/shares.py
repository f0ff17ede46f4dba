"""A canary's share of the requests: how many pods give it, and the objects that carry it.

The new release is a second Deployment beside `serving`. Behind the same Service, its share is its share of the pods. Where the overlay has
a route of the Gateway API, its pods have a Service of their own, and the route's weights give any share, to whoever comes by the route.
"""

import copy
import math
from typing import Any

from scripts.ledger import handovers
from scripts.ledger.handovers import KEY
from scripts.ledger.kustomization import NAME
from scripts.workspace import settings
from scripts.workspace.errors import YourTurn

Manifest = dict[str, Any]
CANARY = f"{NAME}-canary"  # the second Deployment
LABEL = "pipeline/canary"  # of its pods, which the selector of the first one may match too
ROUTES = ("HTTPRoute", "GRPCRoute")
COPIED = ("Service", "NetworkPolicy", "PodMonitor")  # for pods that are called by another name


def check(manifests: list[Manifest], environment: str) -> None:
    """Raises YourTurn for a share that no whole number of pods gives. An autoscaler's number is not known: there the nearest is taken."""
    handovers.refuse_canary(manifests, environment)
    canary, beside = settings.read().canary(environment), _workload(manifests)["spec"].get("replicas")
    if not canary or not beside or _routes(manifests):
        return
    possible = {_percent(number, beside): number for number in range(1, beside + 1)}
    if wrong := [step for step in canary.steps if step not in possible]:
        shares = ", ".join(f"{share} ({number} of {beside + number})" for share, number in possible.items())
        problem = f"no whole number of pods beside the {beside} of {environment} takes {wrong[0]} % of the requests; possible are: {shares}"
        remedy = f"steps = {[*possible][:2]} in canary of {environment} in pyproject.toml; or more replicas; or the component ingress"
        raise YourTurn(problem, remedy)


def pods(rendered: list[Manifest], share: int, beside: int) -> int:
    """How many pods of the new release take `share` % of the requests next to `beside` old ones; at least one, at most as many."""
    if _routes(rendered):
        return math.ceil(beside * share / 100)
    return min(range(1, beside + 1), key=lambda number: abs(100 * number / (beside + number) - share))


def manifests(rendered: list[Manifest], share: int, number: int) -> tuple[list[Manifest], list[Manifest]]:
    """The objects that bring `number` pods of the new release, its Deployment last; and the routes that then send them their share."""
    routes = _routes(rendered)
    deployment = _called(_workload(rendered), CANARY if routes else NAME)
    deployment["metadata"].update(name=CANARY, annotations={})
    spec = deployment["spec"] | {"replicas": number}
    for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
        labels[LABEL] = "true"
    others = [m for m in rendered if routes and m["kind"] in COPIED and m["metadata"]["name"] == NAME]
    copies = [_called(m, CANARY) for m in others]
    for manifest in copies:
        manifest["metadata"]["name"] = CANARY
    return [*copies, deployment | {"spec": spec}], [_weighted(route, share) for route in routes]


def _percent(number: int, beside: int) -> int:
    return round(100 * number / (beside + number))


def _workload(rendered: list[Manifest]) -> Manifest:
    return next(m for m in rendered if m["kind"] == "Deployment" and m["metadata"]["name"] == NAME)


def _routes(rendered: list[Manifest]) -> list[Manifest]:
    """The routes that lead to the servers."""
    found = [m for m in rendered if m["kind"] in ROUTES]
    return [m for m in found if any(_is_ours(b) for rule in m["spec"]["rules"] for b in rule.get("backendRefs", []))]


def _is_ours(backend: dict[str, Any]) -> bool:
    return backend["name"] == NAME


def _called(value: Any, name: str) -> Any:
    """A copy in which pods are found by `name`."""
    if isinstance(value, dict):
        return {k: name if (k, v) == (KEY, NAME) else _called(v, name) for k, v in value.items()}
    return [_called(item, name) for item in value] if isinstance(value, list) else value


def _weighted(route: Manifest, share: int) -> Manifest:
    """The route with a second backend beside each of ours."""
    route = copy.deepcopy(route)
    for rule in route["spec"]["rules"]:
        split = []
        for backend in rule.get("backendRefs", []):
            new = {"name": CANARY, "weight": share}
            split += [backend | {"weight": 100 - share}, backend | new] if _is_ours(backend) else [backend]
        rule["backendRefs"] = split
    return route
