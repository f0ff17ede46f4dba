"""The ports of pods on this computer, by `kubectl port-forward`. Everything else is asked of the API server itself (api.py)."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from scripts.environments.client import Endpoint
from scripts.ledger import kubectl
from scripts.workspace.errors import YourTurn

REST, GRPC = 8501, 8500  # of the container


@contextmanager
def forwarded(pods: list[str], namespace: str, context: str) -> Generator[list[Endpoint]]:
    """An endpoint on this computer for each pod: its own ports, past every Service."""
    processes = [_forward(pod, namespace, context) for pod in pods]
    try:
        yield [_endpoint(process, pod) for process, pod in zip(processes, pods, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _forward(pod: str, namespace: str, context: str) -> subprocess.Popen:
    flags = ["--namespace", namespace, *(["--context", context] if context else [])]
    command = ["kubectl", "port-forward", f"pod/{pod}", f":{REST}", f":{GRPC}", "--address=127.0.0.1", *flags]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise kubectl.ABSENT from None


def _endpoint(process: subprocess.Popen, pod: str) -> Endpoint:
    ports: dict[int, int] = {}
    while len(ports) < 2:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise YourTurn(f"{pod}: {process.communicate()[1].strip()}", "the same command again")
        here, there = line.removeprefix("Forwarding from 127.0.0.1:").split(" -> ")
        ports[int(there)] = int(here)
    return Endpoint("127.0.0.1", ports[REST], ports[GRPC], pod)
