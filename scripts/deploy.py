"""Deploys to ENV what its overlay says, verifies it, and puts the release before it back if it fails

`local` takes the newest export. An environment of k8s/overlays takes what is committed there: the changes are tried and shown, applied,
waited for with the reason if a pod cannot start, and verified on every pod. What is not rendered any more is then pruned.
"""

from scripts import _console, _delivery, _environments, _github

add_arguments = _environments.add_argument


def run(environment: str) -> int:
    target = _environments.reachable(environment)
    if not target:
        return 0
    candidate = target.candidate()
    if not candidate:
        _console.say(f"  skipped    {environment} has no release yet; next: ./pipeline promote {environment}")
        return 0
    target.prepare(candidate)  # what is wrong with it here is said before anybody else is asked
    with target.exclusively("deploy"):
        _delivery.deliver(target, candidate, "deploy", "")
    _github.output(deployed=environment)
    _github.summary(f"{environment} serves release `{candidate.release.label}`, verified on every pod.")
    return 0
