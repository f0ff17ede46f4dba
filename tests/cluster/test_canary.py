"""A canary under load: a good one goes on, a worse one is taken back, one that was cut off does either; nobody loses a request by it."""

from typing import Any

import pytest

from tests.support.fork import INSTANT, Fork

from .conftest import Cluster
from .environment import OVERLAY, Environment, label
from .releases import ANSWER, publish
from .test_disturbances import until
from .test_refusals import DEFINED, define

Release = dict[str, Any]
BOUNDS = "steps = [50], minutes = 0.05, requests = 20, errors = 0.5, slower = 5"
WORSE = {
    "errs for 2 %": "        tf.debugging.assert_none_equal(x, 7.0)\n",
    "is slow": """\
        form = {"output_types": [tf.float32], "output_shapes": [[None, 1]]}
        late = tf.raw_ops.SleepDataset(
            input_dataset=tf.data.Dataset.from_tensors(x)._variant_tensor, sleep_microseconds=tf.constant(30_000, tf.int64), **form
        )
        (x,) = tf.raw_ops.DatasetToSingleElement(dataset=late, **form)
""",
}
SAID = {
    "errs for 2 %": "the canary is worse: instant fails ",
    "is slow": "the canary is worse: instant answers in ",
}


@pytest.fixture(scope="module")
def worse(cluster: Cluster, engine: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    fork = Fork(tmp_path_factory.mktemp("worse") / "fork")
    texts = {name: INSTANT.replace(ANSWER, lines + ANSWER) for name, lines in WORSE.items()}
    return {name: publish(cluster.registry, fork, text, SLOPE="3.0") for name, text in texts.items()}


@pytest.fixture(scope="module")
def served(shared_dev: Environment, releases: dict[str, Release]) -> Environment:
    """`dev` with one pod of release `one`, where another one meets half of the requests first."""
    shared_dev.patch("replicas", replicas=1)
    way = 'dev = { context = "", by = "commit"'
    shared_dev.fork.edit("pyproject.toml", way, f"{way}, canary = {{ {BOUNDS} }}")
    shared_dev.fork.commit("a canary")
    shared_dev.deploy(releases["one"])
    return shared_dev


def newest(dev: Environment) -> str:
    """The first row of the history; no canary is left."""
    assert [item["metadata"]["name"] for item in dev.get("deployments")["items"]] == ["serving"]
    return dev.ok("history", "dev").out.splitlines()[2]


def test_load_on_its_pods(served: Environment) -> None:
    """No more requests than asked for, as the pods count themselves, and none lost; a busy machine sends fewer."""
    shown = served.ok("bench", "dev", "--rate", "40", "--for", "2", "--json", "bench.json").out
    (row,) = served.fork.read("bench.json")["pods"]
    assert 0 < row["per_second"] < 50 and row["errors"] == 0
    assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert row["pod"] in shown


@pytest.mark.parametrize("defect", WORSE)
def test_a_worse_release_is_taken_back(
    served: Environment, releases: dict[str, Release], worse: dict[str, Release], defect: str
) -> None:
    """What was lost is what its own pods have answered."""
    served.promote(worse[defect])
    with served.load(per_second=100 if defect == "errs for 2 %" else 25) as load:
        error = served.refused("deploy", "dev")
    assert SAID[defect] in error
    assert f"release {releases['one']['id'][:12]} serves again" in error
    served.serves(releases["one"])
    assert " return " in newest(served) and SAID[defect] in newest(served)
    lost = [line for line in load.failures if "[Condition x" not in line and "assert" not in line.lower()]
    assert not lost, lost[:20]
    assert bool(load.failures) == (defect == "errs for 2 %")


def test_too_little_traffic_is_no_silent_pass(served: Environment, releases: dict[str, Release]) -> None:
    served.promote(releases["two"])
    error = served.refused("deploy", "dev")
    assert (
        "the canary had too little traffic to judge by: instant had 0 requests to the new pods and 0 to the old"
        in error
    )
    assert 'quiet = "go-on"' in error
    served.serves(releases["one"])
    assert "too little traffic" in newest(served)


def test_one_that_is_killed_is_ended_by_a_rollback_or_goes_on(
    served: Environment, releases: dict[str, Release]
) -> None:
    one, two = releases["one"], releases["two"]
    with served.load(per_second=25) as load:  # in three seconds enough to judge by
        served.promote_again(two)
        kill(served, "canary     new:")
        assert f"a canary of {label(two)} answers a share of the requests" in served.run("status", "dev").out
        served.ok("rollback", "dev", "--reason", "not now")
        served.serves(one)
        assert " rollback " in newest(served)

        served.promote_again(two)
        for step in ("canary     new:", "change"):  # while it is watched, and while the others follow
            kill(served, step)
        again = served.ok("deploy", "dev").err
    load.check(one, two)
    assert "  canary     new:" not in again
    served.serves(two)
    assert f" canary {label(two)} serving 1 of 2 pods: " in " ".join(newest(served).split())
    assert " 0 errors" in newest(served)


def kill(dev: Environment, step: str) -> None:
    process = dev.start("deploy", "dev")
    until(process, step)
    process.kill()
    process.communicate()


def test_a_share_by_routes_is_taken_back_as_well(
    served: Environment, releases: dict[str, Release], worse: dict[str, Release], cluster: Cluster
) -> None:
    """No gateway is here: what it would send to either Service is sent to each of them. Killed amid it, it is judged by the next run."""
    define(cluster, *(kind for kind in DEFINED if kind[2] == "gateway.networking.k8s.io"))
    served.fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/ingress]")
    served.fork.edit("pyproject.toml", "steps = [50], minutes = 0.05", "steps = [5], minutes = 0.5")
    served.fork.commit("shares by routes")
    served.ok("deploy", "dev")
    before, plain = served.ledger()["id"], [("serving", 1), ("serving", 1)]
    assert backends(served) == plain

    served.promote_again(worse["errs for 2 %"])
    kill(served, "canary     5 % by the route")
    assert backends(served) == 2 * [("serving", 95), ("serving-canary", 5)]
    with served.load(per_second=20), served.load(per_second=100, service="serving-canary"):
        error = served.refused("deploy", "dev")
    assert SAID["errs for 2 %"] in error
    assert backends(served) == plain
    served.serves(next(release for release in releases.values() if release["id"] == before))
    assert " return " in newest(served)


def backends(dev: Environment) -> list[tuple[str, int]]:
    """Where the HTTPRoute and the GRPCRoute lead, with their weights."""
    routes = dev.get("httproutes,grpcroutes")["items"]
    found = [backend for route in routes for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]
    return [(backend["name"], backend.get("weight", 1)) for backend in found]
