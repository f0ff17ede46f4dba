"""verify: every golden example, in as few requests as they fit into, and the wrong one by its number."""

import urllib.request

from scripts.environments import verification
from scripts.environments.client import Endpoint
from scripts.release.releases import Release
from tests.support.fork import Fork


def test_many_examples_share_requests_and_the_wrong_one_is_named(served: Fork) -> None:
    document = served.read("build/release/release.json")
    (example,) = document["models"][0]["examples"][:1]
    batch = {"inputs": {"x": [[1.0], [2.0]]}, "outputs": {"y": [[3.0], [6.0]]}, "tolerance": 0.001}
    wrong = batch | {"outputs": {"y": [[3.0], [7.0]]}}
    document["models"][0]["examples"] = [*[example] * 30, *[batch] * 40, wrong, *[batch] * 40]
    endpoint = Endpoint("127.0.0.1", served.rest_port, served.grpc_port)
    before = requests_of(served)
    assert verification.problems(endpoint, Release(served.root, document)) == [
        "instant: example 71 by REST: y[1][0] is 6.0, not 7.0",
        "instant: example 71 by gRPC: y[1][0] is 6.0, not 7.0",
    ]
    assert requests_of(served) - before < 2 * 111 / 3


def requests_of(fork: Fork) -> int:
    """How many the server has answered, as its metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fork.rest_port}/monitoring/prometheus/metrics") as answer:
        lines = [
            line
            for line in answer.read().decode().splitlines()
            if line.startswith(":tensorflow:serving:request_count{")
        ]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)
