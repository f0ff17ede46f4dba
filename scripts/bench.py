"""Load on a server of your own: requests a second, p50 and p99 of each model's first example, by REST and by gRPC; errors are exit 1

The server is `local`, or any server of the newest export, by its addresses. The client uses CPU as well: where the server runs on this
computer too, the figures measure both.
"""

import argparse
import json as _json
from collections.abc import Iterator
from typing import Any

from scripts.environments import client, load, local
from scripts.release import golden, releases
from scripts.release.releases import Release
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

NEEDS = "serve"  # uvloop
COLUMNS = {"model": "model", "api": "API", "clients": "clients", "per_second": "req/s"}
COLUMNS |= {"p50_ms": "p50 ms", "p99_ms": "p99 ms", "errors": "errors"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rest", metavar="HOST:PORT", help="another server's")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="the same")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16], metavar="N", help="connections; 1 16")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="for each figure; 5")
    console.add_json(parser)


def run(rest: str | None, grpc: str | None, clients: list[int], seconds: float, json: str | None) -> int:
    if min(clients) < 1 or seconds <= 0:
        raise YourTurn("clients and seconds must be more than 0", "./pipeline bench --help")
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
