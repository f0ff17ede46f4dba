"""Deploys to ENV what its overlay says, verifies it, and puts the release before it back if it fails

`local` takes the newest export. An environment of k8s/overlays takes what is committed there: the changes are tried and shown, applied,
waited for with the reason if a pod cannot start, and verified on every pod. What is not rendered any more is then pruned.
"""

from scripts.environments import deployment, lookup

add_arguments = lookup.add_argument


def run(environment: str) -> int:
    deployment.deploy(environment)
    return 0
