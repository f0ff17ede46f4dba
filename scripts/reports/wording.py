"""How a comparison reads, and how numbers are written in what people read."""

import html
import re
from typing import Any


def markdown(comparisons: list[dict[str, Any]]) -> str:
    """The comparisons with one environment, a table and a sentence for each model, for a card or a pull request; "" if there is none.

    The comparisons are those that evaluate writes to build/NAME/evaluation.json under `against`, and export to release.json.
    """
    if not comparisons:
        return ""
    release, environment = comparisons[0]["release"], comparisons[0]["environment"]
    rows = [
        f"| {one['model']} | {metric} | {number(value['before'])} | {number(value['after'])} |"
        for one in comparisons
        for metric, value in one.get("metrics", {}).items()
    ]
    table = ["| model | metric | serves now | candidate |", "|---|---|---|---|", *rows, ""] if rows else []
    sentences = [f"- **{one['model']}**: {_sentence(one)}" for one in comparisons]
    return "\n".join(
        [f"## Beside release `{release or 'none'}`, which serves in {environment}", "", *table, *sentences, ""]
    )


def of_release(document: dict[str, Any], environment: str) -> str:
    """The comparisons in a release.json, for the pull request that promotes it to `environment`; says so if there are none."""
    comparisons = [one for one in document.get("against", []) if one["environment"] == environment]
    return markdown(comparisons) or (
        f"This release was not compared with what {environment} serves: `./pipeline evaluate --against {environment}` does that.\n"
    )


def _sentence(comparison: dict[str, Any]) -> str:
    if comparison["rule"]:
        return f"{comparison['rule']}."
    gates = "; ".join(
        f"{g['metric']} is {number(g['value'])}, which must be {g['bound']}" + ("" if g["passed"] else ": **refused**")
        for g in comparison["gates"]
    )
    return (
        f"{comparison['changed_held_out']:.1%} of the held-out answers change, and {comparison['changed_examples']} of its "
        f"{comparison['examples']} golden examples; an answer takes {comparison['latency_ratio']:.2f} times as long; "
        f"its clients need not change. {gates}."
    )


def number(value: float | None) -> str:
    """A number as a card or a pull request shows it."""
    return "not a number" if value is None else f"{value:.4g}"


def name(text: str, length: int = 60) -> str:
    """A label, or other text of the user's, as literal text in Markdown: no markup, table, formula, link or mention begins in it."""
    text = " ".join(str(text).split())
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    if re.fullmatch(r"[\w .,%/+'’…-]*", text) and not re.search(r"\b_|_\b|^[-+]", text):
        return text
    escaped = "".join(f"&#{ord(sign)};" if sign in "|$*_`~@#:[]\\" else html.escape(sign) for sign in text)
    return f"<code>{escaped}</code>"
