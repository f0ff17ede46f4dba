"""The ledger as one HTML page: no script, no file beside it, and never more than LIMIT bytes, however long the ledger is.

Every text in it is escaped: reasons, subjects and inputs are what somebody typed.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.reports import wording

LIMIT = 300_000  # bytes: a page that a phone opens at once
WIDTH, HEIGHT = 1000, 100  # of a drawing's coordinates; the page stretches them
TICKS = ("2V7", "0V9")  # what was taken back stands out
NEVER = "1970-01-01T00:00:00+00:00"
ACTS = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "return": "put back",
    "revert": "reverted to",
    "edit": "by hand",
}
BACK = ("rollback", "return", "revert")
BOUND = re.compile(r"[<>]=?\s*(-?[\d.]+(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Cut:
    """How much of the ledger the page shows."""

    rows: int = 20  # entries of an environment in its table
    acts: int = 1000  # of an environment on the timeline
    releases: int = 400  # of a model in its curves
    models: int = 20
    metrics: int = 6  # of a model
    examples: int = 3  # of a model
    letters: int = 160  # of a text

    def half(self) -> "Cut":
        halves = {name: max(value // 2, 1) for name, value in dataclasses.asdict(self).items()}
        return Cut(**halves | {"letters": max(self.letters // 2, 40)})


def page(document: dict[str, Any]) -> str:
    """The page of what ledger/chronicle.py reads: as much of it as LIMIT lets in."""
    cut = Cut()
    while len((html := _page(document, cut)).encode()) > LIMIT and cut != cut.half():
        cut = cut.half()
    return html


def _page(document: dict[str, Any], cut: Cut) -> str:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "time": _time,
        "number": wording.number,
        "name": _name,
        "clip": lambda text: _clip(text, cut.letters),
    }
    models = _models(document["releases"])
    shown = [_model(name, releases, cut) for name, releases in models[: cut.models]]
    span = _span(document["environments"])
    environments = [environment | _strip(environment, span, cut) for environment in document["environments"]]
    values = document | {"environments": environments, "models": shown, "left_out": models[cut.models :], "cut": cut}
    return pages.get_template("board.html").render(values, span=span, acts=ACTS, back=BACK)


def _name(label: str) -> str:
    return label.partition("-")[2] or label


def _clip(text: str, letters: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _time(text: str) -> str:
    when = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    return f"{when.day} {when:%b %Y, %H:%M}"


def _seconds(time: str) -> float:
    return datetime.datetime.fromisoformat(time).timestamp()


def _acts(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries that brought a release."""
    return [entry for entry in environment["entries"] if entry["action"] not in ("edit", "override", "canary")]


def _span(environments: list[dict[str, Any]]) -> list[str]:
    """The times of the first and the last act anywhere; empty if there was none."""
    times = [entry["time"] for environment in environments for entry in _acts(environment)]
    return [min(times, key=_seconds), max(times, key=_seconds)] if times else []


def _strip(environment: dict[str, Any], span: list[str], cut: Cut) -> dict[str, Any]:
    """The environment's table, and its strip of the timeline: a path of ticks for what went on, one for what was taken back."""
    acts, (begin, end) = _acts(environment), map(_seconds, span or [NEVER] * 2)
    places = [
        (entry["action"] in BACK, _scaled(_seconds(entry["time"]), begin, end, WIDTH)) for entry in acts[-cut.acts :]
    ]
    paths = [
        "".join(f"M{x} {TICKS[back]}" for x in dict.fromkeys(x for b, x in places if b == back))
        for back in (False, True)
    ]
    return {
        "acts": len(acts),
        "drawn": len(places),
        "backs": sum(entry["action"] in BACK for entry in acts),
        "forth_path": paths[0],
        "back_path": paths[1],
        "rows": environment["entries"][::-1][: cut.rows],
    }


def _scaled(value: float, low: float, high: float, size: int) -> int:
    return round((value - low) / (high - low) * size) if high > low else size // 2


def _models(releases: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each model with its part of every release, oldest first, those of the newest release first; `label` names the release."""
    found: dict[str, list[dict[str, Any]]] = {}
    for release in reversed(releases):
        label = f"{release['version']}-{release['id'][:12]}"
        for model in release["models"]:
            found.setdefault(model["name"], []).append(model | {"label": label})
    return [(name, parts[::-1]) for name, parts in found.items()]


def _model(name: str, parts: list[dict[str, Any]], cut: Cut) -> dict[str, Any]:
    newest = parts[-1]
    gates = {gate["metric"]: gate for gate in newest["gates"]}
    metrics = dict.fromkeys([*gates, *newest["metrics"]])
    curves = [_curve(metric, gates.get(metric), parts[-cut.releases :]) for metric in metrics]
    examples = [
        {key: json.dumps(example[key], ensure_ascii=False) for key in ("inputs", "outputs", "tolerance")}
        for example in newest["examples"]
    ]
    return {
        "name": name,
        "label": newest["label"],
        "releases": len(parts),
        "curves": curves[: cut.metrics],
        "metrics": len(curves),
        "examples": examples[: cut.examples],
        "asked": len(examples),
    }


def _curve(metric: str, gate: dict[str, Any] | None, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A metric over the releases that have it: its line, and the line of its gate if that is a number."""
    values = [value for part in parts if (value := _value(part, metric)) is not None]
    found = BOUND.fullmatch(gate["bound"].strip()) if gate else None
    drawn = [*values, float(found[1])] if found else values
    heights = [HEIGHT - _scaled(value, min(drawn), max(drawn), HEIGHT) for value in drawn]
    bound = heights.pop() if found else None
    steps = [round(place / max(len(values) - 1, 1) * WIDTH) for place in range(len(values))]
    line = "L".join(f"{x} {y}" for x, y in zip(steps, heights, strict=True))
    return {
        "metric": metric,
        "bound": gate["bound"] if gate else "",
        "value": values[-1],
        "low": min(values),
        "high": max(values),
        "count": len(values),
        "line": f"M{line}" if len(values) > 1 else f"M{line}H{WIDTH}",
        "gate": bound,
    }


def _value(part: dict[str, Any], metric: str) -> float | None:
    judged = {gate["metric"]: gate["value"] for gate in part["gates"]} | part["metrics"]
    return judged.get(metric)
