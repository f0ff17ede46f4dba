"""How the verbs that read the ledger grow with it: commits and deployments, a tenth each time down to a hundredth."""

import subprocess
import sys
import time

import pytest

from tests.support import ledgers
from tests.support.fork import Fork
from tests.test_promote import push

NAMES = ["dev", "staging", "production"]
SIZES = {1: (20, 200), 10: (200, 2000), 100: (2000, 20_000)}  # deployments, commits
VERBS = {
    "history": ["history", "dev", "--json", "-"],
    "promote": ["promote", "dev", "--reason", "a benchmark"],
    "why": ["why", "production", "--json", "-"],
    "board": ["board"],
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Fork]:
    made = {}
    for times, (deployments, commits) in SIZES.items():
        fork = made[times] = Fork(tmp_path_factory.mktemp("ledger") / "fork")
        ledgers.make(fork, NAMES, deployments // len(NAMES), commits)
        push(fork, ledgers.document(10**6))
    return made


def seconds(fork: Fork, arguments: list[str]) -> float:
    """The least of three calls, each on the same commit."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "scripts", *arguments], cwd=fork.root, check=True, capture_output=True)
        taken.append(time.perf_counter() - begin)
        fork.git("reset", "-q", "--hard", "main@{1}") if arguments[0] == "promote" else None
    return min(taken)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", VERBS)
def test_a_hundred_times_the_ledger_takes_at_most_ten_times_as_long(forks: dict[int, Fork], verb: str) -> None:
    taken = {times: seconds(fork, VERBS[verb]) for times, fork in forks.items()}
    told = ", ".join(f"{times}×: {one:.2f} s" for times, one in taken.items())
    print(
        f"\n{verb}, of {SIZES[1][0]} deployments in {SIZES[1][1]} commits and more: {told}; ratio {taken[100] / taken[1]:.1f}"
    )
    assert taken[100] <= 10 * taken[1]
