"""One comment on a pull request, and one issue, for each kind: found again by a hidden marker, and rewritten."""

from collections.abc import Iterator
from typing import Any

from scripts.github import gh

PAGE = 100  # the most that GitHub gives at once


def comment(pull_request: int, kind: str, text: str) -> str:
    """Writes the comment of that kind, in place of the one before. Returns its address."""
    body = _body(kind, text)
    present = _find(kind, f"issues/{pull_request}/comments?")
    if present:
        return gh.api("PATCH", f"issues/comments/{present['id']}", {"body": body})["html_url"]
    return gh.api("POST", f"issues/{pull_request}/comments", {"body": body})["html_url"]


def issue(kind: str, title: str, text: str) -> str:
    """Opens the issue of that kind, or rewrites the one that is open. Returns its address."""
    document = {"title": title, "body": _body(kind, text)}
    if present := _open_issue(kind):
        if (present["title"], present["body"]) == (document["title"], document["body"]):
            return present["html_url"]
        return gh.api("PATCH", f"issues/{present['number']}", document)["html_url"]
    return gh.api("POST", "issues", document | {"labels": [kind]})["html_url"]


def close_issue(kind: str, text: str) -> str | None:
    """Closes the issue of that kind with `text` as its last comment. Returns its address; None where none is open."""
    present = _open_issue(kind)
    if not present:
        return None
    gh.api("POST", f"issues/{present['number']}/comments", {"body": text})
    return gh.api("PATCH", f"issues/{present['number']}", {"state": "closed"})["html_url"]


def _open_issue(kind: str) -> dict[str, Any] | None:
    return _find(
        kind, f"issues?state=open&labels={kind}&"
    )  # only people with write access set labels: nobody else can pass off an issue as this one


def _find(kind: str, path: str) -> dict[str, Any] | None:
    return next((item for item in _all(path) if (item.get("body") or "").startswith(_marker(kind))), None)


def _all(path: str) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page."""
    page = 1
    while items := gh.api("GET", f"{path}per_page={PAGE}&page={page}"):
        yield from items
        if len(items) < PAGE:
            return
        page += 1


def _marker(kind: str) -> str:
    return f"<!-- pipeline: {kind} -->"


def _body(kind: str, text: str) -> str:
    return gh.fitted(f"{_marker(kind)}\n{text}")
