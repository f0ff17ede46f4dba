"""A canary's share in pods and routes, and the verdict from what model servers count: pure functions. tests/cluster runs canaries."""

from typing import Any

import pytest

from scripts.environments import canary, metrics
from scripts.environments.metrics import Side
from scripts.environments.refusals import Failed
from scripts.ledger import objectives, shares
from scripts.workspace.canaries import Canary
from scripts.workspace.errors import YourTurn
from tests.support.fork import Fork

MODEL = "instant"
# Recorded from TensorFlow Serving 2.19.1, without the buckets between.
RECORDED = """\
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1
:tensorflow:serving:request_count{model_name="m",status="OK"} 4
:tensorflow:serving:request_count{model_name="nope",status="NOT_FOUND"} 1
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="",entrypoint="REST",le="612.22"} 1
:tensorflow:serving:request_latency_bucket{model_name="m",API="",entrypoint="REST",le="+Inf"} 1
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="1102"} 1
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="1.27482e+06"} 3
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="+Inf"} 3
:tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="REST"} 75344
"""


def page(ok: int, milliseconds: float = 1, **errors: int) -> metrics.Series:
    """What a server shows that gave `ok` right answers, each in so many milliseconds, and some errors by their status."""
    counts = {"OK": ok} | errors
    lines = [f':tensorflow:serving:request_count{{model_name="{MODEL}",status="{s}"}} {n}' for s, n in counts.items()]
    for bound in [*objectives.BOUNDS, "+Inf"]:
        labels = f'model_name="{MODEL}",API="Predict",entrypoint="GRPC",le="{bound}"'
        reached = ok if float(bound) >= milliseconds * 1000 else 0
        lines.append(f":tensorflow:serving:request_latency_bucket{{{labels}}} {reached}")
    return metrics.parse("\n".join(lines))


def side(*pods: metrics.Series) -> Side:
    """Pods that had counted nothing before."""
    found = Side()
    found.look({})
    found.look({str(number): series for number, series in enumerate(pods)})
    return found


def test_a_recorded_page() -> None:
    found = side(metrics.parse(RECORDED))
    assert (found.requests("m"), found.failed("m")) == (5, {"INVALID_ARGUMENT": 1})
    assert found.failed("nope") == {"NOT_FOUND": 1}
    assert found.quantile(1 / 3, "m") == pytest.approx(1102)  # without questions about the model
    assert metrics.parse("") == {} and side({}).quantile(0.5) is None  # before the first request


def test_only_what_is_counted_meanwhile_counts() -> None:
    """A pod that comes later, and one that was started anew, count from zero."""
    found = Side()
    found.look({"a": page(100), "b": page(100, UNKNOWN=7)})
    found.look({"a": page(110), "b": page(5)})
    found.look({"a": page(110), "b": page(8), "c": page(20)})
    assert (found.requests(), found.failed()) == (10 + 8 + 20, {})


# Old and new pods, and what is said of the new ones.
GOOD = {
    "as good": ((page(1000), page(1000)), page(500)),
    "fails what the old ones fail": ((page(900, INVALID_ARGUMENT=100),), page(452, INVALID_ARGUMENT=48)),
    "one early error is no share yet": ((page(50),), page(2, UNKNOWN=1)),
    "faster": ((page(500, 30),), page(500, 3)),
    "a scheduler's noise": ((page(500, 0.2),), page(500, 1.0)),
}
BAD = {
    "errs for 2 %": (
        (page(2000),),
        page(490, UNKNOWN=8, INVALID_ARGUMENT=2),
        "instant fails 2 % of 500 requests (INVALID_ARGUMENT 2 times, UNKNOWN 8 times), the release before 0 %; 1 % more are allowed",
    ),
    "errs always, from the first requests on": ((page(9),), page(0, UNKNOWN=2), "instant fails 2 % of 2 requests"),
    "three times slower": (
        (page(2000, 8),),
        page(500, 24),
        "instant answers in 29.2 ms (p50), the release before in 9 ms; 1.5 times that is allowed",
    ),
}


def judged(old: tuple[metrics.Series, ...], new: metrics.Series) -> str:
    bounds, sides = Canary([50]), (side(*old), side(new), [MODEL])
    return "; ".join(metrics.errors(*sides, bounds) + metrics.delays(*sides, bounds))


@pytest.mark.parametrize("name", GOOD)
def test_goes_on(name: str) -> None:
    assert judged(*GOOD[name]) == ""


@pytest.mark.parametrize("name", BAD)
def test_is_taken_back(name: str) -> None:
    *sides, expected = BAD[name]
    assert judged(*sides).startswith(expected)


def test_the_slow_tail_of_many_answers() -> None:
    """2 % of the answers take long: among 2,000 that is known, among 400 it could be chance."""
    tail = {key: value * 0.02 for key, value in page(2000, 300).items()}
    body = {key: value * 0.98 for key, value in page(2000, 8).items()}
    slow = {key: body[key] + tail[key] for key in tail}
    assert "(p99)" in judged((page(2000, 8),), slow)
    assert judged((page(2000, 8),), {key: value / 5 for key, value in slow.items()}) == ""


def test_too_little_traffic_is_said_of_either_side() -> None:
    bounds = Canary([50])
    assert metrics.silence(side(page(100)), side(page(100)), [MODEL], bounds) == []
    assert metrics.silence(side(page(100)), side({}), [MODEL], bounds) == [
        "instant had 0 requests to the new pods and 100 to the old, and 100 to each are needed"
    ]
    with pytest.raises(Failed, match="too little traffic to judge by: instant had 3 requests to the new pods and 100"):
        canary.quiet(side(page(100)), side(page(3)), [MODEL], bounds)
    said = canary.quiet(side(page(0)), side(page(100)), [MODEL], Canary([50], quiet="go-on"))
    assert said.startswith(
        "; too little traffic to judge by: instant had 100 requests to the new pods and 0 to the old"
    )


@pytest.mark.parametrize(
    ("share", "beside", "number"), [(25, 3, 1), (40, 3, 2), (5, 19, 1), (50, 1, 1), (5, 3, 1), (90, 4, 4), (30, 8, 3)]
)
def test_the_number_of_pods(share: int, beside: int, number: int) -> None:
    """Where an autoscaler counts them it is the nearest: at least one, at most as many as serve."""
    assert shares.pods([], share, beside) == number


DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "serving", "labels": {shares.KEY: "serving"}, "annotations": {"pipeline/left-to-others": "x"}},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {shares.KEY: "serving"}},
        "template": {"metadata": {"labels": {shares.KEY: "serving"}}, "spec": {"containers": []}},
    },
}
BACKENDS = [{"name": "serving", "port": 8501}, {"name": "another", "port": 80, "weight": 7}]
ROUTE = {"kind": "HTTPRoute", "metadata": {"name": "serving"}, "spec": {"rules": [{"backendRefs": BACKENDS}, {}]}}
SERVICE = {"kind": "Service", "metadata": {"name": "serving"}, "spec": {"selector": {shares.KEY: "serving"}}}
HEADLESS = {"kind": "Service", "metadata": {"name": "serving-grpc"}, "spec": {"selector": {shares.KEY: "serving"}}}


def test_behind_the_same_service() -> None:
    """The Service finds the pods of both; the Deployments do not find each other's."""
    ((deployment,), routes) = shares.manifests([SERVICE, HEADLESS, DEPLOYMENT], 25, 1)
    spec, labels = deployment["spec"], {shares.KEY: "serving", shares.LABEL: "true"}
    assert (deployment["metadata"]["name"], deployment["metadata"]["annotations"]) == ("serving-canary", {})
    assert (spec["replicas"], routes) == (1, [])
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == labels
    assert shares.LABEL not in str(DEPLOYMENT)


def test_behind_a_route() -> None:
    """Exactly that share, of what comes by the route: a Service of its own, and weights in the place of our backend only."""
    (service, deployment), (route,) = shares.manifests([ROUTE, SERVICE, HEADLESS, DEPLOYMENT], 5, 1)
    assert service["metadata"]["name"] == "serving-canary"
    assert service["spec"]["selector"] == {shares.KEY: "serving-canary"}
    assert deployment["spec"]["template"]["metadata"]["labels"][shares.KEY] == "serving-canary"
    assert route["spec"]["rules"] == [
        {
            "backendRefs": [
                {"name": "serving", "port": 8501, "weight": 95},
                {"name": "serving-canary", "port": 8501, "weight": 5},
                BACKENDS[1],
            ]
        },
        {"backendRefs": []},
    ]
    assert "weight" not in BACKENDS[0]


def test_a_share_that_no_number_of_pods_gives(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fork.root)
    way = 'production = { context = "", by = "pull-request"'
    fork.edit("pyproject.toml", way, f"{way}, canary = {{ steps = [5, 25] }}")
    with pytest.raises(YourTurn) as error:
        shares.check([DEPLOYMENT], "production")
    assert error.value.problem == (
        "no whole number of pods beside the 3 of production takes 5 % of the requests; "
        "possible are: 25 (1 of 4), 40 (2 of 5), 50 (3 of 6)"
    )
    assert error.value.remedy.startswith("steps = [25, 40] in canary of production in pyproject.toml; ")
    shares.check([DEPLOYMENT, ROUTE], "production")
    shares.check([DEPLOYMENT], "dev")
    autoscaled: dict[str, Any] = DEPLOYMENT | {"spec": {}}
    shares.check([autoscaled], "production")
