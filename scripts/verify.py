"""Asks every server of ENV every golden example, by REST and by gRPC, and which version it serves"""

from scripts.environments import asking, delivery, lookup
from scripts.environments.local import Local
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
    release = target.find(label).release
    console.tell(f"{environment}: {delivery.verify(target, release)}")
    if isinstance(target, Local):
        asking.tell(target, release)
    return 0
