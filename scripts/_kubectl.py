"""kubectl: it renders, and it forwards the ports of pods. Everything else is asked of the API server itself (_api.py)."""

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from scripts._client import Endpoint
from scripts._errors import YourTurn

REST, GRPC = 8501, 8500  # of the container


def render(folder: str) -> str:
    """The manifests of a kustomization. A warning is an error: what kustomize warns of today it refuses tomorrow."""
    try:
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    except FileNotFoundError:
        raise _missing() from None
    if done.returncode or done.stderr.strip():
        raise YourTurn(f"the overlay does not render: {_words(done.stderr)}", "edit k8s/, commit, and try again")
    return done.stdout


def apply(folder: str) -> None:
    """Server-side apply of a kustomization, as whoever the kubeconfig says."""
    command = ["kubectl", "apply", "--server-side", "--kustomize", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise _missing() from None
    if done.returncode:
        raise YourTurn(f"{folder} cannot be applied: {_words(done.stderr)}", "the same command again")


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
        raise _missing() from None


def _endpoint(process: subprocess.Popen, pod: str) -> Endpoint:
    ports: dict[int, int] = {}
    while len(ports) < 2:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise YourTurn(f"{pod}: {process.communicate()[1].strip()}", "the same command again")
        here, there = line.removeprefix("Forwarding from 127.0.0.1:").split(" -> ")
        ports[int(there)] = int(here)
    return Endpoint("127.0.0.1", ports[REST], ports[GRPC], pod)


def _words(stderr: str) -> str:
    """Without the frame of a log line that kubectl puts around errors of several lines."""
    text = " ".join(stderr.split()).replace('\\"', '"')
    return re.sub(r"^E\d{4} .*? err=(?:< |\")(.*?)(?: >|\")$", r"\1", text).removeprefix("error: ")


def _missing() -> YourTurn:
    return YourTurn("kubectl is not installed, and it renders the overlays", "https://kubernetes.io/docs/tasks/tools/")
