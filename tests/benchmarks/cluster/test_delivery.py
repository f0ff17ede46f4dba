"""What safety costs: deploy and rollback beside the kubectl commands that do no more than change the image."""

import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.environment import OVERLAY, Environment

Release = dict[str, Any]
ROUNDS = 5


def timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def shell(dev: Environment, script: str) -> Callable[[], Any]:
    """Bash in the fork, as the administrator: `kubectl` there is of the environment's namespace."""
    function = (
        f'kubectl() {{ command kubectl --kubeconfig={dev.cluster.kubeconfig} --namespace={dev.namespace} "$@"; }}'
    )
    command = ["bash", "-euo", "pipefail", "-c", f"{function}; {script}"]
    return lambda: subprocess.run(command, cwd=dev.fork.root, check=True, capture_output=True)


def image(release: Release) -> str:
    return f"{release['image']['name']}@{release['image']['digest']}"


@pytest.mark.timeout(600)
def test_deploy_beside_apply_and_rollout_status(dev: Environment, releases: dict[str, Release]) -> None:
    apply = "apply --server-side --field-manager=pipeline --force-conflicts --filename=-"
    bare = shell(dev, f"kubectl kustomize {OVERLAY} | kubectl {apply}; kubectl rollout status deployment/serving")
    dev.deploy(releases["one"])
    theirs, ours = [], []
    for _ in range(ROUNDS):
        dev.promote(releases["two"])
        theirs.append(timed(bare))
        dev.promote(releases["one"])
        ours.append(timed(lambda: dev.ok("deploy", "dev")))
    report("deploy", ours, "kubectl apply and rollout status", theirs)


@pytest.mark.timeout(600)
def test_rollback_beside_set_image_and_rollout_status(dev: Environment, releases: dict[str, Release]) -> None:
    def set_image(name: str) -> Callable[[], Any]:
        change = f"kubectl set image deployment/serving serving={image(releases[name])}"
        return shell(dev, f"{change}; kubectl rollout status deployment/serving")

    dev.deploy(releases["one"])
    dev.deploy(releases["two"])
    theirs, ours = [], []
    for number in range(ROUNDS):
        theirs.append(timed(set_image("one")))
        set_image("two")()
        dev.ok("deploy", "dev")  # the fields are ours again
        ours.append(timed(lambda n=number: dev.ok("rollback", "dev", "--reason", f"round {n}")))
        dev.ok("rollback", "dev", "--reason", "back")
    report("rollback", ours, "kubectl set image and rollout status", theirs)


def report(verb: str, ours: list[float], bare: str, theirs: list[float]) -> None:
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"\n./pipeline {verb}: {mine:.1f} s; {bare}: {other:.1f} s; ratio {mine / other:.2f}")
    assert mine <= 1.2 * other


def test_what_verify_adds_for_each_pod(dev: Environment, releases: dict[str, Release]) -> None:
    figures = {}
    for replicas in (1, 4):
        dev.patch("replicas", replicas=replicas)
        dev.deploy(releases["one"])
        figures[replicas] = statistics.median(timed(lambda: dev.ok("verify", "dev")) for _ in range(5))
    each = (figures[4] - figures[1]) / 3
    print(f"\n./pipeline verify: {figures[1]:.1f} s with one pod, {each:.2f} s more for each further one")
    assert each <= 0.5 * figures[1]


def test_how_long_until_a_broken_image_is_explained(dev: Environment, releases: dict[str, Release]) -> None:
    dev.patch("replicas", replicas=1)
    dev.deploy(releases["one"])
    for defect in ("missing", "crashing"):
        dev.promote(releases[defect])
        begin, process = time.perf_counter(), dev.start("deploy", "dev")
        for line in process.stderr:
            if line.startswith("  failed"):
                print(f"\n{defect}: said after {time.perf_counter() - begin:.1f} s: {line.strip()[:120]}")
                break
        process.communicate()
        assert process.returncode == 1
