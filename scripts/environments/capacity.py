"""Load on the pods of an environment, each by a port-forward of its own, and what it takes of them.

Requests a second and latencies are what the servers count themselves, so that the way to them does not matter; CPU and memory are what
metrics-server has seen last.
"""

import asyncio
import math
import time
from contextlib import ExitStack
from typing import Any

from scripts.environments import load, metrics
from scripts.environments.client import Endpoint
from scripts.environments.cluster import Cluster
from scripts.environments.metrics import Side
from scripts.ledger.kustomization import NAME
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

Request = tuple[str, str, str, bytes]  # model, "rest" or "grpc", path, body
CLIENTS = 8  # connections for each pod and request
ROUND_SECONDS = 8  # of kept connections: the servers end gRPC's after 10, give or take one
BUSY = 0.7  # of the CPU limit: what a pod may use in the long run, as in k8s/components/autoscaling
Row = dict[str, Any]


def measure(cluster: Cluster, requests: list[Request], per_second: float, seconds: float) -> list[Row]:
    """A row for each pod under `per_second` requests for all of them together. Raises YourTurn if none can be asked.

    {"pod", "per_second", "p50_ms", "p99_ms", "errors", "first_error", "cpu": cores, "memory": bytes}; the last two are None where
    nobody measures them.
    """
    import uvloop

    with cluster.endpoints() as endpoints, ExitStack() as stack:
        connected = [stack.enter_context(endpoint.connected()) for endpoint in endpoints]
        if not connected:
            raise YourTurn(f"no pod of {cluster.name} serves", f"./pipeline status {cluster.name}")
        sides = {endpoint.name: Side() for endpoint in connected}
        _look(connected, sides)
        begin = time.monotonic()
        usage, lost = uvloop.run(_load(cluster, connected, requests, per_second, seconds))
        took = time.monotonic() - begin
        _look(connected, sides)
    return [_row(name, side, took, lost[name], usage.get(name, {})) for name, side in sides.items()]


def _look(connected: list[Endpoint], sides: dict[str, Side]) -> None:
    for endpoint in connected:
        sides[endpoint.name].look({endpoint.name: metrics.parse(endpoint.metrics())})


async def _load(
    cluster: Cluster, connected: list[Endpoint], requests: list[Request], per_second: float, seconds: float
) -> tuple[dict[str, dict[str, float]], dict[str, Row]]:
    """Asks all pods at once. Returns their usage just before the end, and how many requests of each were lost, and why the first."""
    share = per_second / len(connected) / len(requests)
    lost: dict[str, Row] = {endpoint.name: {"errors": 0, "first_error": ""} for endpoint in connected}

    async def ask(endpoint: Endpoint, api: str, path: str, body: bytes) -> None:
        address = f"{endpoint.host}:{endpoint.rest_port if api == 'rest' else endpoint.grpc_port}"
        end, mine = time.monotonic() + seconds, lost[endpoint.name]
        while (left := end - time.monotonic()) > 0:
            report = await load.run(api, address, path, body, CLIENTS, min(left, ROUND_SECONDS), share)
            mine["errors"] += report["errors"]
            why = (endpoint.way and endpoint.way.trouble) or report["first_error"]
            mine["first_error"] = mine["first_error"] or why

    async def look() -> dict[str, dict[str, float]]:
        await asyncio.sleep(seconds)  # the last round ends later by its warm-up
        return await asyncio.to_thread(_usage, cluster)

    looking = asyncio.create_task(look())
    await asyncio.gather(*(ask(e, api, path, body) for e in connected for _, api, path, body in requests))
    return await looking, lost


def _usage(cluster: Cluster) -> dict[str, dict[str, float]]:
    """CPU in cores and memory in bytes, by pod; empty where nobody measures them."""
    try:
        found = cluster.objects.listed("metrics.k8s.io/v1beta1", "PodMetrics")
    except YourTurn as error:
        console.say(f"  no usage   {error.problem}; CPU and memory need metrics-server")
        return {}
    return {
        item["metadata"]["name"]: {key: quantity(value) for key, value in container["usage"].items()}
        for item in found
        for container in item["containers"]
        if container["name"] == NAME
    }


def _row(name: str, side: Side, seconds: float, lost: Row, usage: dict[str, float]) -> Row:
    times = {f"p{q * 100:.0f}_ms": round(t / 1000, 3) if (t := side.quantile(q)) else None for q in (0.5, 0.99)}
    measured = {"cpu": usage.get("cpu"), "memory": usage.get("memory")}
    return {"pod": name, "per_second": round(side.requests() / seconds, 1), **times, **lost, **measured}


def pods_for(wanted: float, rows: list[Row], limit: float) -> int | None:
    """How many pods of `limit` cores take `wanted` requests a second; None where nobody has measured what one costs."""
    measured = [row for row in rows if row["cpu"] and row["per_second"]]
    if not measured or not limit:
        return None
    cost = sum(row["cpu"] for row in measured) / sum(row["per_second"] for row in measured)
    return max(1, math.ceil(wanted * cost / (BUSY * limit)))


def limit_of(cluster: Cluster) -> float:
    """The CPU limit of a pod in cores; 0 without one."""
    live = cluster.deployment()
    containers = live["spec"]["template"]["spec"]["containers"] if live else []
    limits = next((c.get("resources", {}).get("limits", {}) for c in containers if c["name"] == NAME), {})
    return quantity(limits.get("cpu", "0"))


def quantity(text: str) -> float:
    """Kubernetes' notation of a number: 250m, 64Mi."""
    from kubernetes.utils import parse_quantity  # 0.2 s, and --help needs none

    return float(parse_quantity(text))
