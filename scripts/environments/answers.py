"""Whether every server of an environment answers as its release should. A broken connection says nothing of the server, and nothing of
the release does what a server answered that has gone meanwhile."""

import time
from concurrent.futures import ThreadPoolExecutor

from scripts.environments import verification
from scripts.environments.client import Endpoint
from scripts.environments.refusals import Failed
from scripts.environments.target import Servers
from scripts.release.releases import Release
from scripts.workspace.errors import YourTurn

AT_ONCE = 16  # servers that are asked at the same time
PATIENCE_SECONDS = 30  # with connections that break through no fault of the servers


def verify(environment: Servers, release: Release) -> str:
    """Asks every endpoint every golden example. Raises Failed with every wrong answer."""
    problems, servers = ask(environment, release)
    if problems or not servers:
        raise Failed(
            f"{environment.name} does not serve release {release.name}: {'; '.join(problems) or 'no server is ready'}",
            f"./pipeline status {environment.name}",
        )
    examples = sum(len(model["examples"]) for model in release.models)
    return (
        f"{examples} example{'s' * (examples > 1)} by REST and gRPC on {servers} server{'s' * (servers > 1)}: all right"
    )


def ask(environment: Servers, release: Release) -> tuple[list[str], int]:
    """Everything that is wrong with the answers, in words, and how many servers answered.

    Raises YourTurn if a server could not be asked: its node, or the API server on the way to it, does not answer.
    """
    deadline, found = time.monotonic() + PATIENCE_SECONDS, {}
    while True:
        with environment.endpoints() as endpoints:  # each time anew: a pod may have gone meanwhile
            waiting = [endpoint for endpoint in endpoints if endpoint.name not in found]
            found |= _ask_all(waiting, release)
            lost = [f"{e.name}: {e.way.trouble}" for e in waiting if e.way and e.way.trouble]
            names = [endpoint.name for endpoint in endpoints if endpoint.name in found]
        if wrong := [name for name in names if found[name]]:
            lost += [f"{name}: it has gone meanwhile" for name in set(wrong) - _names(environment)]
        if not lost:
            return [line for name in names for line in found[name]], len(names)
        if time.monotonic() > deadline:
            raise YourTurn(
                f"{environment.name} could not be asked: {'; '.join(lost)}", f"./pipeline status {environment.name}"
            )
        time.sleep(1)


def _names(environment: Servers) -> set[str]:
    with environment.endpoints() as endpoints:
        return {endpoint.name for endpoint in endpoints}


def _ask_all(endpoints: list[Endpoint], release: Release) -> dict[str, list[str]]:
    """What is wrong with each endpoint, by name; without those whose connection broke."""

    def problems(endpoint: Endpoint) -> list[str]:
        return [f"{endpoint.name}: {p}" if endpoint.name else p for p in verification.problems(endpoint, release)]

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = zip(endpoints, pool.map(problems, endpoints), strict=True)
        return {e.name: problems for e, problems in found if not (e.way and e.way.trouble)}
