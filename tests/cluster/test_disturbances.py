"""What happens to a deployment meanwhile: another deployer, a kill, pods and API servers that go away."""

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .environment import Environment

Release = dict[str, Any]


@pytest.fixture
def small(dev: Environment, releases: dict[str, Release]) -> Environment:
    dev.patch("replicas", replicas=1)
    dev.deploy(releases["one"])
    return dev


def until(process: subprocess.Popen, begin: str) -> str:
    """Reads what `process` says up to the line that begins so. Returns all of it; the process must not have ended."""
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(f"  {begin}"):
            return said
    raise AssertionError(f"it ended before {begin!r}: {said}")


@pytest.mark.parametrize(
    ("verb", "steps"),
    [("deploy", ["change", "rollout", "deploy", "verify"]), ("rollback", ["change", "rollback", "verify", "ledger"])],
)
def test_a_deployer_killed_at_any_step_and_run_again(
    small: Environment, releases: dict[str, Release], verb: str, steps: list[str]
):
    """And the load notices nothing. The same command again is the same act, also where git says already that it is done."""
    here, there = releases["one"], releases["two"]
    if verb == "rollback":
        small.deploy(there)
        here, there = there, here
    command = [verb, "dev", *(["--reason", "again"] if verb == "rollback" else [])]
    with small.load() as load:
        for step in steps:
            if verb == "deploy":
                small.promote(there)
            process = small.start(*command)
            until(process, step)
            process.kill()
            process.communicate()
            small.ok(*command)
            small.serves(there)
            here, there = there, here
    load.check(here, there)


def test_of_two_deployers_one_wins_and_the_other_says_so(small: Environment, releases: dict[str, Release]):
    """In two checkouts, as two workflow runs are. Stopped by hand, the first lets go."""
    small.promote(releases["silent"])
    other = small.fork.root.parent / "other"
    shutil.copytree(small.fork.root, other, symlinks=True)
    first = small.start("deploy", "dev")
    until(first, "rollout")
    here, small.fork.root = small.fork.root, other
    error = small.refused("deploy", "dev")
    small.fork.root = here
    assert f"another deployer is at work in dev: ./pipeline deploy (process {first.pid} on " in error
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert first.returncode == 130
    assert small.get("leases")["items"] == []
    small.promote(releases["two"])
    small.ok("deploy", "dev")
    small.serves(releases["two"])


def test_a_deployer_whose_lease_is_taken_stops(small: Environment, releases: dict[str, Release]):
    """As if its computer had slept: it touches nothing more, and leaves the other its lease."""
    small.fork.edit("scripts/environments/lease.py", "RENEW_SECONDS = 5", "RENEW_SECONDS = 0.1")
    small.fork.commit("in a hurry")
    small.promote(releases["silent"])
    process = small.start("deploy", "dev")
    until(process, "rollout")
    other = "./pipeline deploy (process 1 on another)"
    small.kubectl("patch", "lease/deployer", "--type=merge", f"--patch={held_by(other)}")
    _, err = process.communicate()
    assert process.returncode == 1
    assert "error: another deployer has taken over dev, or somebody has deleted Lease/deployer there" in err
    assert small.get("lease/deployer")["spec"]["holderIdentity"] == other
    small.kubectl("delete", "lease/deployer")
    small.promote(releases["one"])
    small.ok("deploy", "dev")
    small.serves(releases["one"])


def held_by(holder: str, clock: str = "2020-01-01T00:00:00.000000Z", number: int = 0) -> str:
    spec = {"holderIdentity": holder, "acquireTime": clock, "renewTime": clock, "leaseTransitions": number}
    return json.dumps({"spec": spec})


@pytest.mark.parametrize("clock", ["2020-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"], ids=["slow", "fast"])
def test_a_deployer_with_another_clock_counts_by_its_signs_of_life(
    shared_dev: Environment, releases: dict[str, Release], clock: str
):
    """Whatever it writes as the time: one that renews is alive, and one that does not for as long as a lease lasts is dead."""
    dev, lease = shared_dev, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "deployer"}}
    holder = "./pipeline deploy (process 1 on another)"
    dev.promote(releases["one"])
    for name, seconds, few in (("SECONDS", 60, 10), ("RENEW_SECONDS", 5, 1)):
        dev.fork.edit("scripts/environments/lease.py", f"\n{name} = {seconds}", f"\n{name} = {few}", missing_ok=True)
    dev.kubectl("apply", "-f", "-", stdin=json.dumps(lease | json.loads(held_by(holder, clock))))
    done = threading.Event()

    def renew() -> None:
        number = 0
        while not done.wait(1):
            number += 1
            dev.kubectl("patch", "lease/deployer", "--type=merge", f"--patch={held_by(holder, clock, number)}")

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert f"another deployer is at work in dev: {holder}" in dev.refused("deploy", "dev")
    finally:
        done.set()
        thread.join()
    dev.ok("deploy", "dev")  # which waits until the holder is dead


def test_a_pod_killed_during_a_rollout(dev: Environment, releases: dict[str, Release]):
    dev.deploy(releases["one"])
    dev.promote(releases["two"])
    with dev.load() as load:
        process = dev.start("deploy", "dev")
        until(process, "rollout")
        old = dev.get("pods")["items"][0]["metadata"]["name"]
        dev.kubectl("delete", "pod", old, "--wait=false")
        _, err = process.communicate()
    assert process.returncode == 0, err
    load.check(releases["one"], releases["two"])
    dev.serves(releases["two"])


def test_an_api_server_that_is_gone_for_ten_seconds(small: Environment, releases: dict[str, Release]):
    small.promote(releases["two"])
    with small.load() as load:
        process = small.start("deploy", "dev")
        until(process, "change")
        small.cluster.signal_api_server("STOP")
        try:
            threading.Event().wait(10)
        finally:
            small.cluster.signal_api_server("CONT")
        _, err = process.communicate()
    assert process.returncode == 0, err
    load.check(releases["one"], releases["two"])
    small.serves(releases["two"])


def test_the_drain_of_a_node_respects_the_budget(dev: Environment, releases: dict[str, Release]):
    """Of two pods one may go; the other stays until its successor has a place, and answers."""
    dev.deploy(releases["one"])
    node = dev.get("nodes")["items"][0]["metadata"]["name"]
    flags = ["--delete-emptydir-data", "--ignore-daemonsets", "--force", "--timeout=10s"]
    drain = ["kubectl", f"--kubeconfig={dev.cluster.kubeconfig}", "drain", node, *flags]
    with dev.load() as load:
        try:
            drained = subprocess.run(
                [*drain, "--pod-selector=app.kubernetes.io/name=serving"], capture_output=True, text=True
            )
        finally:
            dev.cluster.kubectl("uncordon", node)
    assert drained.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget" in drained.stderr
    load.check(releases["one"])
    dev.kubectl("rollout", "status", "deployment/serving", "--timeout=60s")
    dev.serves(releases["one"])


def test_a_rollback_needs_no_registry_where_the_node_has_the_image(small: Environment, releases: dict[str, Release]):
    small.deploy(releases["two"])
    with rule_on_node(small, "tcp dport 5000 reject"):
        small.ok("rollback", "dev", "--reason", "the registry burns")
        small.serves(releases["one"])


@contextmanager
def rule_on_node(dev: Environment, rule: str) -> Iterator[None]:
    """For what its processes send, to others and to each other."""
    chain = "{ type filter hook output priority 0; }"
    dev.cluster.run_on_node(f"nft add table inet test; nft 'add chain inet test out {chain}'")
    dev.cluster.run_on_node(f"nft add rule inet test out {rule}")
    try:
        yield
    finally:
        dev.cluster.run_on_node("nft delete table inet test")


def test_a_kubelet_that_does_not_answer_is_named_and_not_waited_for_without_end(
    small: Environment, releases: dict[str, Release]
):
    """It says nothing of the release: nothing is put back, and the same command goes on once it answers."""
    small.fork.edit("scripts/environments/answers.py", "PATIENCE_SECONDS = 30", "PATIENCE_SECONDS = 1")
    small.fork.edit("scripts/environments/forwarding.py", "HANDSHAKE_SECONDS = 10", "HANDSHAKE_SECONDS = 2")
    small.fork.edit("scripts/environments/forwarding.py", "OPEN_SECONDS = 15", "OPEN_SECONDS = 1")
    small.promote(releases["two"])
    why = "no way to it on node node: its kubelet does not answer within 2 s"
    with rule_on_node(small, "tcp dport 10250 drop"):
        assert why in small.run("status", "dev").out
        error = small.refused("deploy", "dev")
        assert why in error and "nothing was put back" in error
        assert small.image() == "@".join(releases["two"]["image"].values())
    small.ok("deploy", "dev")
    small.serves(releases["two"])
