"""The server of the environment `local`, asked past the pipeline."""

import http.client
import json

from tests.support.fork import Fork


def ask(fork: Fork, value: float = 1.0) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", fork.rest_port, timeout=10)
    connection.request("POST", "/v1/models/instant:predict", json.dumps({"instances": [[value]]}))
    return json.loads(connection.getresponse().read())["predictions"][0][0]


def history(fork: Fork) -> list[tuple[str, str]]:
    """(action, outcome) of each line of the ledger, without the starts."""
    lines = (fork.root / "build/local/history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(entry["action"], entry["outcome"]) for entry in entries if entry["outcome"] != "started"]
