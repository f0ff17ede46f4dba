"""How `verify` grows with servers, models and golden examples, and the page of all environments with these: 1×, 10×, 100×.

All servers are the same one, asked under many names: what is measured is the processor time of who asks.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from scripts.environments.answers import verify
from scripts.environments.client import Endpoint
from scripts.release.releases import Release
from tests.support import ledgers
from tests.support.fork import Fork
from tests.test_promote import push

SIZES = (1, 10, 100)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("growth") / "fork")
    fork.write_model()
    fork.commit("instant")
    fork.release()
    fork.ok("deploy", "local")
    yield fork
    fork.clean_up()


def tell(what: str, unit: str, taken: dict[int, float]) -> None:
    told = ", ".join(f"{times}×: {one:.2f} {unit}" for times, one in taken.items())
    print(f"\n{what}: {told}; ratio {taken[100] / taken[1]:.1f}")


@pytest.mark.parametrize("of", ["servers", "models", "examples"])
def test_a_hundred_times_as_much_to_verify(served: Fork, of: str) -> None:
    endpoint = Endpoint("127.0.0.1", served.rest_port, served.grpc_port)
    document = served.read("build/release/release.json")

    def seconds(servers: int = 1, models: int = 1, examples: int = 1) -> float:
        (model,) = document["models"]
        many = [model | {"examples": model["examples"][:1] * examples}] * models
        endpoints = [replace(endpoint, name=f"pod-{number}") for number in range(servers)]
        environment = SimpleNamespace(name="many", endpoints=lambda: nullcontext(endpoints))
        begin = time.process_time()
        verify(environment, Release(served.root, document | {"models": many}))
        return time.process_time() - begin

    seconds()  # what is imported once
    taken = {times: min(seconds(**{of: times}) for _ in range(3)) for times in SIZES}
    tell(f"verify, by {of}", "s of a processor", taken)
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    assert taken[100] <= 100 * taken[1]


def of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", ["board", "promote dev --reason environments"])
def test_a_hundred_times_the_environments(tmp_path_factory: pytest.TempPathFactory, verb: str) -> None:
    taken = {}
    for times in SIZES:
        fork = Fork(tmp_path_factory.mktemp("environments") / "fork")
        names = ["dev", *(f"place-{number}" for number in range(3 * times - 3)), "staging", "production"]
        ledgers.with_environments(fork, names)
        ledgers.make(fork, names, 2, 0)
        push(fork, ledgers.document(10**6))
        begin = of_children()
        subprocess.run([sys.executable, "-m", "scripts", *verb.split()], cwd=fork.root, check=True, capture_output=True)
        taken[times] = of_children() - begin
    tell(f"{verb.split()[0]}, by environments, of which there are 3 and more", "s of a processor", taken)
    assert taken[100] <= 100 * taken[1]
