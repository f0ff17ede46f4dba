"""What a promotion would change for those who use the service, as Markdown: metrics, answers, clients, manifests, size, commits."""

import json
from collections.abc import Iterator
from typing import Any

from scripts.ledger import rendering
from scripts.release import golden
from scripts.release.releases import Release
from scripts.reports import wording
from scripts.workspace import git

SHOWN = 30  # lines of a list: a longer one is read at its source


def describe(environment: str, release: Release, before: Release | None, base: str, commit: str) -> str:
    """The consequences of `commit`, which brings `release` to `environment`; as of commit `base` it serves `before`."""
    serves = f"release `{before.label}`" if before else "nothing yet"
    lines = [f"Release `{release.label}` for **{environment}**, which serves {serves}.", ""]
    for model in release.models:
        present = next((m for m in before.models if m["name"] == model["name"]), None) if before else None
        lines += [f"### {model['name']}", "", *_metrics(model, present), *_answers(model, present), ""]
    lines += [wording.of_release(release.document, environment)]
    for model in before.models if before else []:
        if model["name"] not in {m["name"] for m in release.models}:
            lines += [f"### {model['name']}", "", "It is **not in this release**: its clients get no answer.", ""]
    lines += _block("Manifests", "diff", _rendered(environment, base, commit))
    lines += _block("Commits", "", commits(release, before))
    return "\n".join([*lines, "Merging deploys it; what serves now is put back by itself if it does not verify."])


def _metrics(model: dict[str, Any], present: dict[str, Any] | None) -> Iterator[str]:
    bounds = {gate["metric"]: gate["bound"] for gate in model["gates"]}
    yield from ("| | serves now | this release | gate |", "|---|---|---|---|")
    for name, value in model["metrics"].items():
        yield f"| {name} | {_number(present, name)} | {value:.4g} | {bounds.get(name, '')} |"
    sizes = [f"{m['size'] / 1024:.0f} KiB" if m and "size" in m else "–" for m in (present, model)]
    yield f"| on disk | {sizes[0]} | {sizes[1]} | |"
    yield ""


def _number(model: dict[str, Any] | None, name: str) -> str:
    return f"{model['metrics'][name]:.4g}" if model and name in model["metrics"] else "–"


def _answers(model: dict[str, Any], present: dict[str, Any] | None) -> Iterator[str]:
    """The golden examples that both releases have recorded; a difference within the tolerance does not count."""
    if not present:
        yield "No release serves it there yet."
        return
    if model["signature"] != present["signature"] or model.get("labels") != present.get("labels"):
        yield "**Its signature differs**: clients may have to change."
        yield from ("", "```diff", *rendering.differences(present["signature"], model["signature"]), "```", "")
    changed, both = changed_answers(model, present)
    yield f"{len(changed)} of the {both} golden examples that both have are answered differently."
    yield from _block("Answers that change", "", changed) if changed else ()


def changed_answers(model: dict[str, Any], before: dict[str, Any]) -> tuple[list[str], int]:
    """How the answers of `model` differ from those of `before`, in words, and how many golden examples both have."""
    asked = {_key(example): example for example in before["examples"]}
    both = [(asked[_key(example)], example) for example in model["examples"] if _key(example) in asked]
    found = (golden.difference(old["outputs"], new["outputs"], old["tolerance"]) for old, new in both)
    return list(filter(None, found)), len(both)


def _key(example: dict[str, Any]) -> str:
    return json.dumps(example["inputs"], sort_keys=True)


def _rendered(environment: str, base: str, commit: str) -> list[str]:
    return rendering.between(*(rendering.render(environment, revision, None) for revision in (base, commit)))


def commits(release: Release, before: Release | None) -> list[str]:
    """The commits between the two releases, without the ledger's own: hash and subject, newest first."""
    old, new = before.document["commit"] if before else None, release.document["commit"]
    if not new or not git.exists(new):
        return ["its commit is not in this repository"]
    if not old or not git.exists(old):
        return git.text("log", "-1", "--format=%h %s", new).splitlines()
    ledgers = ["release.json", "ledger.json", "[kK]ustomization*"]
    paths = [".", *(f":!k8s/overlays/*/{name}" for name in ledgers)]
    forth, back = (
        git.text("log", "--format=%h %s", span, "--", *paths).splitlines()
        for span in (f"{old}..{new}", f"{new}..{old}")
    )
    return forth + [f"without: {line}" for line in back]


def _block(title: str, language: str, lines: list[str]) -> list[str]:
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    summary = f"<summary>{title} ({len(lines)})</summary>"
    return ["<details>", summary, "", f"```{language}", *lines[:SHOWN], *more, "```", "", "</details>", ""]
