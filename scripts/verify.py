"""Asks every server of ENV every golden example, by REST and by gRPC, and which version it serves"""

from scripts.environments import delivery, lookup
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

add_arguments = lookup.add_argument


def run(environment: str) -> int:
    target = lookup.reachable(environment)
    if not target:
        return 0
    label = target.ledger()
    if not label:
        raise YourTurn(f"nothing is deployed to {environment}", f"./pipeline deploy {environment}")
    console.tell(f"{environment}: {delivery.verify(target, target.find(label).release)}")
    return 0
