"""Load on a server of your own, or on an environment: requests a second, p50 and p99 of each model's first example; errors are exit 1

The server is `local`, or any server of the newest export, by its addresses: asked as often as it answers. The client uses CPU as well:
where the server runs on this computer too, the figures measure both. An environment of k8s/overlays is asked at --rate, past its Service,
and its pods say how it went; with metrics-server, also what it takes of them, and how many pods --wanted requests a second need. Its pods
are asked by port-forwards, which carry some hundred requests a second in all; fewer than --rate are said to be fewer.
"""

import argparse
import json as _json
from collections.abc import Iterator
from typing import Any

from scripts.environments import client, load, local, lookup
from scripts.ledger import overlays
from scripts.release import golden, releases
from scripts.release.releases import Release
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

NEEDS = "serve"  # uvloop
COLUMNS = {"model": "model", "api": "API", "clients": "clients", "per_second": "req/s"}
COLUMNS |= {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "errors": "errors"}
OF_PODS = {"pod": "pod", "per_second": "req/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "errors": "errors"}
OF_PODS |= {"cpu": "CPU", "memory": "memory"}
REACHED = 0.8  # of --rate: a busy machine sends a little less


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", metavar="ENV", nargs="?", default="local", help="local, or a folder of k8s/overlays"
    )
    parser.add_argument("--rest", metavar="HOST:PORT", help="another server's")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="the same")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16], metavar="N", help="connections; 1 16")
    parser.add_argument("--seconds", "--for", type=float, default=5, metavar="S", help="for each figure; 5")
    parser.add_argument("--rate", type=float, default=50, metavar="R", help="of ENV: requests a second in all; 50")
    parser.add_argument("--wanted", type=float, metavar="R", help="of ENV: the rate to count pods for; that of --rate")
    parser.add_argument(
        "--yes-production", action="store_true", help="the last environment too, where people are served"
    )
    console.add_json(parser)


def run(
    environment: str,
    rest: str | None,
    grpc: str | None,
    clients: list[int],
    seconds: float,
    rate: float,
    wanted: float | None,
    yes_production: bool,
    json: str | None,
) -> int:
    if min(clients) < 1 or not (seconds > 0 and rate > 0 and (wanted or 1) > 0):
        raise YourTurn("clients, seconds and rates must be more than 0", "./pipeline bench --help")
    if environment != "local":
        return _of_pods(environment, rate, seconds, wanted or rate, yes_production, json)
    if rest or grpc:
        release, addresses = releases.read(), {"rest": rest, "grpc": grpc}
    else:
        release, addresses = _of_local()
    rows = []
    for model, api, path, body in _requests(release):
        if address := addresses[api]:
            rows += [{"model": model, "api": api} | _ask(api, address, path, body, n, seconds) for n in clients]
    if console.write_json(json, rows):
        console.table(list(COLUMNS.values()), [[row[key] for key in COLUMNS] for row in rows])
    if failed := [row for row in rows if row["errors"]]:
        count = sum(row["errors"] for row in failed)
        raise YourTurn(f"{count} requests failed; the first: {failed[0]['first_error']}", "look at the server's log")
    return 0


def _of_pods(name: str, rate: float, seconds: float, wanted: float, yes_production: bool, json: str | None) -> int:
    from scripts.environments import capacity

    overlays.check(name)
    if name == overlays.names()[-1] and not yes_production:
        problem = f"{name} is the last environment: people are served there, and load would slow them down"
        raise YourTurn(
            problem, f"bench the one before it; or, if it has to be, ./pipeline bench {name} --yes-production"
        )
    if not (target := lookup.reachable_cluster(name)):
        return 0
    label = target.running()
    if not label:
        raise YourTurn(f"nothing is deployed to {name}", f"./pipeline deploy {name}")
    rows = capacity.measure(target, list(_requests(target.find(label).release)), rate, seconds)
    if (came := sum(row["per_second"] for row in rows)) < REACHED * rate:
        why = "more did not come through the port-forwards, or the pods had no time for them"
        console.say(f"  too few    {came:g} of {rate:g} requests a second came to the pods: {why}")
    limit = capacity.limit_of(target)
    needed = capacity.pods_for(wanted, rows, limit)
    if console.write_json(json, {"pods": rows, "wanted": wanted, "limit": limit, "needed": needed}):
        console.table(list(OF_PODS.values()), [_shown(row) for row in rows])
        if needed:
            why = f"of {limit:g} CPU each, {capacity.BUSY:.0%} busy"
            console.tell(f"{wanted:g} requests a second need {needed} pod{'s' * (needed > 1)} {why}")
    if failed := [row for row in rows if row["errors"]]:
        problem = f"{sum(row['errors'] for row in failed)} requests failed; the first: {failed[0]['first_error']}"
        raise YourTurn(problem, f"kubectl --namespace {target.namespace} logs deployment/serving")
    return 0


def _shown(row: dict[str, Any]) -> list[Any]:
    cpu = "–" if row["cpu"] is None else f"{row['cpu']:.3g}"
    memory = "–" if row["memory"] is None else f"{row['memory'] / 2**20:.0f} MiB"
    return [*(row[key] if row[key] is not None else "–" for key in [*OF_PODS][:-2]), cpu, memory]


def _of_local() -> tuple[Release, dict[str, str | None]]:
    target = local.read()
    served = target.running()
    if not served:
        raise YourTurn("local serves nothing", "./pipeline up, or name a server by --rest and --grpc")
    endpoint = target.endpoint()
    return target.find(served).release, {
        "rest": f"{endpoint.host}:{endpoint.rest_port}",
        "grpc": f"{endpoint.host}:{endpoint.grpc_port}",
    }


def _requests(release: Release) -> Iterator[tuple[str, str, str, bytes]]:
    """(model, API, path, body): the first example of each model."""
    for model in release.models:
        name, example = model["name"], model["examples"][0]
        inputs, signature = example["inputs"], example.get("signature", "")
        yield name, "rest", f"/v1/models/{name}:predict", _json.dumps(client.body(inputs, signature)).encode()
        request = client.predict_request(name, inputs, golden.dtypes(model, example), signature)
        yield name, "grpc", client.PREDICT, request.SerializeToString()


def _ask(api: str, address: str, path: str, body: bytes, clients: int, seconds: float) -> dict[str, Any]:
    import uvloop

    try:
        report = uvloop.run(load.run(api, address, path, body, clients, seconds))
    except (OSError, ValueError) as error:
        raise YourTurn(f"{address} cannot be asked: {error}", "give it as HOST:PORT of a server that runs") from None
    if not report["requests"] + report["errors"]:
        raise YourTurn(f"{address} gave no answer", "look at the server's log")
    return {"clients": clients} | report
