"""One deployment to one environment: what its ledger says."""

from scripts.environments import delivery, lookup
from scripts.workspace import actions, console


def deploy(environment: str, without_return: bool = False) -> None:
    """Brings there what it should serve. Where no cluster is configured, or nothing was promoted, it says so and does nothing."""
    target = lookup.reachable(environment)
    if not target:
        return
    candidate = target.candidate()
    if not candidate:
        console.say(f"  skipped    {environment} has no release yet; next: ./pipeline promote {environment}")
        return
    target.prepare(candidate)  # what is wrong with it here is said before anybody else is asked
    with target.exclusively("deploy"):
        delivery.deliver(target, candidate, "deploy", "", without_return)
    actions.output(deployed=environment)
    actions.summary(f"{environment} serves release `{candidate.release.label}`, verified on every pod.")
