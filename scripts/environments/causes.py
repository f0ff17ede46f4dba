"""Why an environment answers as it does: from the release that its ledger says, back to the act, the commits and the people behind it.

Git is asked, and the registry for what belongs to the image; no cluster and no server is.
"""

import contextlib
from typing import Any

from scripts.environments.target import Environment
from scripts.ledger import consequences, overlays, stays, verified
from scripts.ledger.entries import Entry
from scripts.ledger.history import NO_RELEASE
from scripts.ledger.stays import Stay
from scripts.release import registry
from scripts.release.releases import Release
from scripts.workspace import git, settings
from scripts.workspace.errors import YourTurn


def find(environment: Environment, which: str | None) -> dict[str, Any]:
    """The causes of the present release of `environment`, or of the last stay of the one called `which`.

    Raises YourTurn where there is none, and in a shallow clone.
    """
    name = environment.name
    if name != "local":
        git.refuse_shallow(f"why {name} serves what it serves")
    entries = [entry for entry in environment.history() if entry.outcome not in ("started", "failed")]
    label = environment.find(which).release.label if which else environment.ledger()
    if label in (None, NO_RELEASE):
        remedy = f"./pipeline {'deploy' if name == 'local' else 'promote'} {name}"
        raise YourTurn(f"{name} serves nothing, by its ledger: there is nothing to explain", remedy)
    stay = next((stay for stay in reversed(stays.of(entries)) if stay.release == label), None)
    if not stay:
        raise YourTurn(f"release {label} was never in the ledger of {name}", f"./pipeline history {name}")
    return _of(environment, stay)


def _of(environment: Environment, stay: Stay) -> dict[str, Any]:
    release, before = environment.find(stay.release).release, _before(environment, stay)
    canaries = [entry for entry in stay.entries if entry.action == "canary"]
    others = [entry for entry in stay.entries[1:] if entry.action not in ("canary", stay.act.action)]
    return {
        "environment": environment.name,
        "release": release.label,
        "serves": stay.after is None,
        "act": stay.act.to_dict(),
        "then": [entry.to_dict() for entry in others],
        "until": stay.after.to_dict() if stay.after else None,
        "before": stay.before,
        "image": release.document.get("image"),
        "attached": _attached(release),
        "commit": _commit(release.document["commit"] or ""),
        "dirty": release.document["dirty"],
        "commits": consequences.commits(release, before),
        "approved": _approval(stay.act, environment.name),
        "verified": _verification(stay, environment.name),
        "models": [_model(model, before) for model in release.models],
        "against": release.document.get("against", []),
        "canary": [entry.reason for entry in canaries],
    }


def _before(environment: Environment, stay: Stay) -> Release | None:
    with contextlib.suppress(YourTurn):  # the files of an older release on this computer may be gone
        return environment.find(stay.before).release if stay.before not in (None, NO_RELEASE) else None
    return None


def _attached(release: Release) -> dict[str, Any]:
    """What the registry has: `there` is None where it could not be asked, for the reason `why`; `kinds` belong to the image."""
    try:
        name, digest = release.image
        repository = registry.Repository(name)
        if not repository.has(digest):
            return {"there": False, "kinds": [], "why": f"{name} has no {digest}"}
        kinds = [one.get("artifactType", "") or "an artifact" for one in repository.referrers(digest)]
        return {"there": True, "kinds": sorted(kinds), "why": ""}
    except YourTurn as error:
        return {"there": None, "kinds": [], "why": error.problem}


def _commit(commit: str) -> dict[str, str] | None:
    if not commit or not git.exists(commit):
        return None
    fields = git.text("log", "-1", "--format=%H%x00%an%x00%aI%x00%s", commit).split("\0")
    return dict(zip(("hash", "author", "time", "subject"), fields, strict=True))


def _approval(act: Entry, name: str) -> dict[str, Any] | None:
    """The merge that brought the act into this branch, and its reviewers; without one the act's own commit, which nobody merged."""
    if not act.commit:
        return None
    spans = ("--merges", "--first-parent", "--reverse", f"{act.commit}..HEAD")
    merges = git.text("rev-list", "--ancestry-path", *spans).split()
    direct = git.text("rev-list", "--first-parent", "HEAD").split()
    commit = act.commit if act.commit in direct or not merges else merges[0]
    trailers = "%(trailers:key=Reviewed-by,valueonly,separator=%x2C )"
    author, reviewers, subject = git.text("log", "-1", f"--format=%an%x00{trailers}%x00%s", commit).split("\0")
    how = "merge" if commit != act.commit else settings.read().by(name)
    return {"commit": commit, "by": author, "how": how, "reviewers": reviewers, "subject": subject}


def _verification(stay: Stay, name: str) -> dict[str, str]:
    following = overlays.after(name) if name != "local" else []
    return verified.of(stay, name, {after: overlays.Overlay(after).history() for after in following})


def _model(model: dict[str, Any], before: Release | None) -> dict[str, Any]:
    """Metrics beside their gates and what they were before, and the answers that changed."""
    present = next((m for m in before.models if m["name"] == model["name"]), None) if before else None
    then = present["metrics"] if present else {}
    bounds = {gate["metric"]: gate["bound"] for gate in model["gates"]}
    values = {gate["metric"]: gate["value"] for gate in model["gates"]} | model["metrics"]
    metrics = [
        {"metric": metric, "value": value, "bound": bounds.get(metric, ""), "before": then.get(metric)}
        for metric, value in values.items()
    ]
    changed, both = consequences.changed_answers(model, present) if present else ([], 0)
    return {"name": model["name"], "metrics": metrics, "changed": changed, "compared": both}
