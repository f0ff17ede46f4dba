"""Asks every server of ENV every golden example, by REST and by gRPC, and which version it serves"""

from scripts import _console, _delivery, _environments
from scripts._errors import YourTurn

add_arguments = _environments.add_argument


def run(environment: str) -> int:
    target = _environments.reachable(environment)
    if not target:
        return 0
    label = target.ledger()
    if not label:
        raise YourTurn(f"nothing is deployed to {environment}", f"./pipeline deploy {environment}")
    with _console.stage("verify") as stage:
        stage.result = _delivery.verify(target, target.find(label).release)
    return 0
