"""drift, executed: what somebody changed by hand becomes one issue, which is closed when it was put right.

That it is off until the variable DRIFT is true is read in test_promises.py: act makes the matrix of a job whose predecessor it has skipped.
"""

from collections.abc import Iterator

import pytest

from scripts.environments.node import REGISTRY
from tests.cluster.conftest import Cluster, environment
from tests.cluster.environment import Environment
from tests.cluster.releases import publish
from tests.workflows.act import GitHub, Run


@pytest.fixture(scope="module")
def dev(cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A fork whose dev serves what its ledger says."""
    for dev in environment(cluster, tmp_path_factory.mktemp("drift")):
        dev.deploy(publish(REGISTRY, dev.fork))
        yield dev


@pytest.fixture(scope="module")
def github(dev: Environment, tmp_path_factory: pytest.TempPathFactory) -> GitHub:
    return GitHub(tmp_path_factory.mktemp("github") / "github", dev.fork)


def run(github: GitHub, dev: Environment, event: str = "workflow_dispatch", **variables: str) -> Run:
    configured = {"CLUSTER": "kubeconfig", **variables}
    return github.run("drift", event, {}, variables=configured, secrets={"KUBECONFIG": dev.kubeconfig.read_text()})


def test_one_issue_from_the_change_to_the_mending(github: GitHub, dev: Environment) -> None:
    clean = run(github, dev, "schedule", DRIFT="true").ok()
    assert clean.jobs == {"plan": "success", "status": "success", "report": "success"}
    assert "drift      none in dev" in clean.log and not github.read().get("issues")

    dev.kubectl("scale", "deployment/serving", "--replicas=3")
    for _ in range(2):  # two nights
        dirty = run(github, dev).failed()
        assert (dirty.jobs["status"], dirty.jobs["report"]) == ("failure", "success")
    (issue,) = github.read()["issues"]
    assert (issue["title"], issue["state"]) == ("Not as the ledger says: dev", "open")
    assert "differs from the ledger: Deployment/serving spec.replicas: 3 → 2" in issue["body"]

    github.change(fail=[["GET .*issues", 9, "HTTP 403: Forbidden"]])
    assert "GitHub refuses GET issues" in run(github, dev).failed().log, "what could not be said is no success"
    github.change(fail=[])

    dev.ok("deploy", "dev")
    run(github, dev).ok()
    document = github.read()
    assert [issue["state"] for issue in document["issues"]] == ["closed"]
    assert [comment["body"] for comment in document["comments"]] == ["dev: as the ledger says."]


def test_a_cluster_that_cannot_be_asked_is_said_too(github: GitHub, dev: Environment) -> None:
    lost = {"variables": {"CLUSTER": "kubeconfig"}}  # without the secret
    gone = github.run("drift", "workflow_dispatch", {}, **lost).failed()
    assert "CLUSTER is kubeconfig, and there is no secret KUBECONFIG" in gone.log
    assert "the status of dev could not be asked: see the run" in github.read()["issues"][-1]["body"]


def test_unconfigured_it_says_which_variable_to_set_and_succeeds(github: GitHub) -> None:
    before = github.read().get("issues")
    unset = github.run("drift", "workflow_dispatch", {}).ok()
    assert any("dev has no cluster: set the variable CLUSTER of the environment dev" in a for a in unset.annotations)
    assert github.read().get("issues") == before
