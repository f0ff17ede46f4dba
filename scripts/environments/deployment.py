"""One deployment to one environment: what its ledger says."""

from scripts.environments import asking, delivery, lookup, returning
from scripts.environments.local import Local
from scripts.ledger import blocks, door, entries
from scripts.ledger.entries import Entry
from scripts.ledger.overlays import Overlay
from scripts.workspace import actions, console


def deploy(environment: str, override: str = "", without_return: bool = False) -> None:
    """Brings to `environment` what it should serve. Without a configured cluster, or a promotion, it says so and does nothing.

    If the environment is closed, `override` is the reason to deploy all the same: it is in the ledger before anything is touched.
    """
    target = lookup.reachable(environment)
    if not target:
        return
    candidate = target.candidate()
    if not candidate:
        console.say(f"  skipped    {environment} has no release yet; next: ./pipeline promote {environment}")
        return
    blocks.refuse(candidate.release, environment)
    if door.closed(environment) and not door.is_overridden(environment):
        door.refuse(environment, "deploy", override)
        entry = Entry(entries.now(), "override", candidate.release.label, "promoted", override=override)
        made = Overlay(environment).write(candidate.release, "HEAD", entry) or ""
        console.say(f"  ledger     says why, though {door.closed(environment)}: commit {made[:12]}; ./pipeline publish")
        candidate = target.candidate() or candidate
    target.prepare(candidate)  # local defects show before the cluster is asked
    target.refuse_share(candidate)
    with target.exclusively("deploy"):
        returning.refuse_taken_back(target, candidate)
        delivery.deliver(target, candidate, "deploy", "", without_return)
    if isinstance(target, Local):
        asking.tell(target, candidate.release)
    actions.output(deployed=environment)
    actions.summary(f"{environment} serves release `{candidate.release.label}`, verified on every pod.")
