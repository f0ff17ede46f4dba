"""What model servers count themselves, read from their metrics page; and whether new ones serve as well as old ones.

TensorFlow Serving's series begin with a colon, and appear after the first request. Times are in microseconds.
"""

import math
import re
from collections import defaultdict

from scripts.workspace.canaries import Canary

# (model, "status" or "le", its value): what was counted. Requests by status; answers up to a latency, cumulated.
Series = dict[tuple[str, str, str], float]
LINE = re.compile(r"^:tensorflow:serving:request_(count|latency_bucket)\{(.*)\} (\S+)$", re.M)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
QUANTILES = (0.5, 0.9, 0.99)
BEYOND = 10  # answers that must be slower than a quantile before it says something
NOISE = 1000  # µs: what a scheduler alone may add


def parse(page: str) -> Series:
    """The requests to each model, and how long the answers of predictions took."""
    found: Series = defaultdict(float)
    for kind, text, value in LINE.findall(page):
        labels = dict(LABEL.findall(text))
        if kind == "count":
            found[labels["model_name"], "status", labels["status"]] += float(value)
        elif labels.get("API"):  # without one: a question about the model
            found[labels["model_name"], "le", labels["le"]] += float(value)
    return found


class Side:
    """What the pods of one release have counted since they were first looked at."""

    def __init__(self) -> None:
        self.counted: Series = defaultdict(float)
        self._last: dict[str, Series] | None = None

    def look(self, pods: dict[str, Series]) -> None:
        """`pods`: what each has counted in its life. A pod that comes later counts from zero, and so does one that was started anew."""
        if self._last is None:
            self._last = pods
        for name, now in pods.items():
            before = self._last.get(name, {})
            for key, value in now.items():
                self.counted[key] += value - before.get(key, 0) if value >= before.get(key, 0) else value
        self._last = self._last | pods

    def requests(self, model: str = "") -> float:
        return sum(v for (m, kind, _), v in self.counted.items() if kind == "status" and model in ("", m))

    def failed(self, model: str = "") -> dict[str, float]:
        """How often which error was the answer."""
        found = {}
        for (name, kind, status), value in self.counted.items():
            if kind == "status" and status != "OK" and value and model in ("", name):
                found[status] = found.get(status, 0) + value
        return found

    def quantile(self, share: float, model: str = "") -> float | None:
        """The latency in µs below which `share` of the answers lie; None before the first. Linear within a bucket, as in Prometheus."""
        buckets: dict[float, float] = defaultdict(float)
        for (name, kind, bound), value in self.counted.items():
            if kind == "le" and model in ("", name):
                buckets[float(bound)] += value
        lower = below = 0.0
        wanted = share * max(buckets.values(), default=0)
        for bound in sorted(buckets):
            if buckets[bound] >= wanted > 0:
                part = (wanted - below) / (buckets[bound] - below)
                return lower if math.isinf(bound) else lower + part * (bound - lower)
            lower, below = bound, buckets[bound]
        return None

    def __str__(self) -> str:
        errors = sum(self.failed().values())
        times = [f", p{q:.0%}".rstrip("%") + f" {t / 1000:.3g} ms" for q in (0.5, 0.99) if (t := self.quantile(q))]
        return f"{self.requests():.0f} requests, {errors:.0f} errors{''.join(times)}"


def errors(old: Side, new: Side, models: list[str], bounds: Canary) -> list[str]:
    """Where the new release fails more requests than the bound allows: a line each.

    A share is of the least number of requests until there are that many, so that one early error does not look like many.
    """
    found = []
    for model in models:
        mine, theirs = (
            100 * sum(side.failed(model).values()) / max(side.requests(model), bounds.requests) for side in (new, old)
        )
        if mine > theirs + bounds.errors:
            what = ", ".join(f"{status} {count:.0f} times" for status, count in sorted(new.failed(model).items()))
            found.append(
                f"{model} fails {mine:.2g} % of {new.requests(model):.0f} requests ({what}), the release before {theirs:.2g} %; "
                f"{bounds.errors:g} % more are allowed"
            )
    return found


def delays(old: Side, new: Side, models: list[str], bounds: Canary) -> list[str]:
    """Where the new release answers more slowly than the bound allows: a line each."""
    found = []
    for model in models:
        enough = min(side.requests(model) for side in (old, new))
        for share in (q for q in QUANTILES if round(enough * (1 - q), 6) >= BEYOND):
            mine, theirs = new.quantile(share, model), old.quantile(share, model)
            if mine and theirs and mine > max(bounds.slower * theirs, theirs + NOISE):
                found.append(
                    f"{model} answers in {mine / 1000:.3g} ms (p{share * 100:.0f}), the release before in {theirs / 1000:.3g} ms; "
                    f"{bounds.slower:g} times that is allowed"
                )
                break
    return found


def silence(old: Side, new: Side, models: list[str], bounds: Canary) -> list[str]:
    """The models with too few requests to judge by: a line each."""
    found = []
    for model in models:
        counts = [side.requests(model) for side in (new, old)]
        if min(counts) < bounds.requests:
            both = f"{counts[0]:.0f} requests to the new pods and {counts[1]:.0f} to the old"
            found.append(f"{model} had {both}, and {bounds.requests:g} to each are needed")
    return found
