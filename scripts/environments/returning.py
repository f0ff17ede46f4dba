"""Which release would be put back, and whether it can be: checked before anything is touched."""

from scripts.environments.target import Environment, Target
from scripts.ledger import blocks
from scripts.ledger.overlays import Overlay
from scripts.workspace import console, git
from scripts.workspace.errors import YourTurn


def prepare(environment: Environment, target: Target, action: str) -> Target | None:
    """The target to put back if `target` fails; None if there is none. Raises YourTurn if it could not be put back.

    A rollback never raises for that: it leaves a bad release, and does not wish to return to it.
    """
    mend = "mend that"
    try:
        before = environment.before()
        if before is None or before.is_same(target):
            return None
        environment.prepare(before)
        environment.check_record(before)
        problem = environment.obstacle(before)
    except YourTurn as error:
        problem, mend = error.problem, error.remedy
    if not problem:
        return before
    problem = f"what serves in {environment.name} now could not be put back: {problem}"
    if action == "deploy":
        remedy = f"{mend}; or do without, if it has to be: ./pipeline deploy {environment.name} --without-return"
        raise YourTurn(problem, remedy)
    console.say(f"  no return  {problem}")
    return None


def refuse_blocked(environment: Environment, which: str) -> None:
    """Raises YourTurn if the release called `which` is blocked."""
    if problem := _blocked(environment, environment.find(which, False)):
        remedy = f"./pipeline history {environment.name}, and choose another; or add --force"
        raise YourTurn(f"release {which} cannot come back: {problem}", remedy)


def refuse_taken_back(environment: Environment, target: Target) -> None:
    """Raises YourTurn for a release that was rolled back, although the ledger does not say so: its history was rewritten since."""
    if why := environment.taken_back(target):
        name, label = environment.name, target.release.label
        problem = f"release {label} was rolled back in {name} ({why}), and no commit of the ledger says so any more"
        keep = f'./pipeline rollback {name} --to {environment.served()[-1]} --reason "…" says what serves'
        raise YourTurn(problem, f'{keep}; or ./pipeline promote {name} --release {label} --reason "…"')


def target_of_rollback(
    environment: Environment, to: str | None, force: bool, with_manifests: bool, seen: str = ""
) -> Target:
    """The release called `to`, or the one that served before the present one. Raises YourTurn if there is none.

    An interrupted rollback keeps its target, even if another release served meanwhile. One that was asked for at the commit `seen` is of
    the release which that commit has in its ledger: asked for twice, it would bring that one back.
    """
    if to:
        return _named(environment, to, force, with_manifests)
    if (begun := environment.interrupted()) and begun.action == "rollback":
        target = environment.find(begun.release, with_manifests)
        if not _blocked(environment, target):
            console.say(f"  goes on    with the rollback to {begun.release} that was interrupted ({begun.time})")
            return target
    served, present = environment.served(), environment.ledger()
    if git.exists(seen or "-") and (then := Overlay(environment.name).release(seen)) and then.label != present:
        problem = f"{environment.name} is to serve {present} by now, and not {then.label} as when this was asked for"
        raise YourTurn(problem, f"./pipeline status {environment.name}; if {present} is wrong too, ask for it again")
    earlier = [label for label in dict.fromkeys(reversed(served)) if label != present]
    for label in earlier:
        target = environment.find(label, with_manifests)
        if not (problem := _blocked(environment, target) or environment.obstacle(target)):
            return target
        console.say(f"  passed by  release {label}: {problem}")
    count = "none of those that" if earlier else "only one release has" if served else "no release has"
    problem = f"{environment.name} has nothing to roll back to: {count} ever served there{' can still be had' * bool(earlier)}"
    raise YourTurn(problem, f"./pipeline history {environment.name}")


def _named(environment: Environment, to: str, force: bool, with_manifests: bool) -> Target:
    target = environment.find(to, with_manifests)
    if force:
        return target
    if target.release.label not in environment.served():
        problem = f"release {to} has never served in {environment.name}"
        raise YourTurn(problem, f"./pipeline history {environment.name}, and choose one that has; or add --force")
    if problem := environment.obstacle(target):
        remedy = f"./pipeline history {environment.name}, and choose another; or add --force"
        raise YourTurn(f"release {to} cannot come back: {problem}", remedy)
    return target


def _blocked(environment: Environment, target: Target) -> str:
    reason = blocks.of(environment.name).get(target.release.name)
    return f"it is blocked ({reason})" if reason else ""
