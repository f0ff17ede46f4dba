"""A stand-in for `gh` on PATH, which answers `gh api` from a table of GitHub's answers and notes every call."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

REPOSITORY = "Octo-Org/Digits"
ROOT = f"repos/{REPOSITORY}"
ABOUT = {
    "id": 821093847,
    "name": "Digits",
    "full_name": REPOSITORY,
    "owner": {"login": "Octo-Org", "id": 5544123, "type": "Organization"},
    "private": False,
    "visibility": "public",
    "fork": True,
    "has_issues": True,
    "default_branch": "main",
    "created_at": "2026-08-01T10:00:00Z",
}
REVIEWERS = {"type": "required_reviewers", "reviewers": [{"type": "User", "reviewer": {"login": "mona"}}]}
MAIN_ONLY = {"protected_branches": False, "custom_branch_policies": True}
PLAN = (403, {"message": "Upgrade to GitHub Pro or make this repository public to enable this feature."})
NOT_FOUND = (404, {"message": "Not Found"})


def environment(name: str, rules: tuple = (), policy: Any = MAIN_ONLY) -> dict[str, Any]:
    return {"name": name, "protection_rules": list(rules), "deployment_branch_policy": policy}


def variables(**values: str) -> dict[str, Any]:
    return {"total_count": len(values), "variables": [{"name": n, "value": v} for n, v in values.items()]}


EKS = variables(CLUSTER="eks", CLUSTER_NAME="one", CLUSTER_REGION="eu-central-1", AWS_ROLE="arn:aws:iam::1:role/deploy")
CHECKS = {
    "type": "required_status_checks",
    "parameters": {"required_status_checks": [{"context": "ci"}], "strict_required_status_checks_policy": False},
}
# A fork in which nothing is missing: GET's path below ROOT, or another path as a whole, to the answer.
COMPLETE: dict[str, Any] = {
    "": ABOUT,
    "actions/permissions": {"enabled": True, "allowed_actions": "all"},
    "actions/permissions/workflow": {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True},
    "actions/workflows?per_page=100": {
        "workflows": [{"name": "ci", "path": ".github/workflows/ci.yml", "state": "active"}],
    },
    "actions/organization-variables?per_page=100": variables(),
    "actions/variables?per_page=100": variables(),
    "actions/variables/PIPELINE_APP_ID": NOT_FOUND,
    "actions/oidc/customization/sub": {
        "use_default": True,
        "use_immutable_subject": True,
        "sub_claim_prefix": "repo:Octo-Org@5544123/Digits@821093847",
    },
    "rules/branches/main": [{"type": "deletion"}, CHECKS],
    "branches/main": {"name": "main", "protected": True},
    "rulesets?per_page=100": [],
    "environments?per_page=100": {
        "environments": [environment(n, (REVIEWERS,)) for n in ("dev", "staging", "production")]
    },
    **{f"environments/{name}/secrets?per_page=100": {"secrets": []} for name in ("dev", "staging", "production")},
    **{f"environments/{name}/variables?per_page=100": EKS for name in ("dev", "staging", "production")},
    "orgs/octo-org/packages/container/digits": {"name": "digits", "visibility": "public"},
}

# What gh does at each end: the body on standard output also when it is an error's, one line on standard error, exit codes 1 and 4.
# In sh, because doctor calls it some twenty times.
PROGRAM = """\
#!/bin/sh
here={folder}
[ "$1 $2" = "api --method" ] || exit 2
body= && [ $# = 4 ] || body=$(cat)
printf '%s\\t%s\\t%s\\n' "$3" "$4" "$body" >> $here/calls
file=$here/answers/$(printf %s "$3 $4" | tr / :)
[ -f "$file" ] || file=$here/answers/unknown
{{ read -r code words; cat; }} < "$file"
[ "$code" = 0 ] || {{ echo "$words" >&2; exit "$code"; }}
"""
UNREACHED = {
    "not logged in": "4 To get started with GitHub CLI, please run:  gh auth login\n",
    "no network": "1 error connecting to api.github.com\n",
}


class GitHub:
    """`gh` in `folder`/bin; `answers` maps a path to a document, (status, document), or what keeps gh from asking."""

    def __init__(self, folder: Path, answers: dict[str, Any] | None = None):
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin/gh"
        program.write_text(PROGRAM.format(folder=folder))
        program.chmod(0o755)
        self.answer(answers or {})

    def answer(self, changes: dict[str, Any]) -> None:
        """COMPLETE with `changes`; a key that begins with a method answers that method."""
        shutil.rmtree(self.folder / "answers", ignore_errors=True)
        (self.folder / "answers").mkdir()
        (self.folder / "answers/unknown").write_text(_said(NOT_FOUND))
        for key, answer in (COMPLETE | changes).items():
            method, _, path = key.rpartition(" ")
            whole = path if path.startswith(("orgs/", "users/")) else f"{ROOT}/{path}".rstrip("/")
            (self.folder / f"answers/{method or 'GET'} {whole.replace('/', ':')}").write_text(_said(answer))
        (self.folder / "calls").write_text("")

    def calls(self) -> list[tuple[str, str, Any]]:
        """Method, path and document of each call."""
        lines = [line.split("\t") for line in (self.folder / "calls").read_text().splitlines()]
        return [(method, path, json.loads(body) if body else None) for method, path, body in lines]

    @property
    def path(self) -> str:
        return f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def _said(answer: Any) -> str:
    """Exit code and standard error on the first line, standard output after it."""
    if isinstance(answer, str):
        return UNREACHED[answer]
    status, document = answer if isinstance(answer, tuple) else (200, answer)
    head = f"1 gh: {document['message']} (HTTP {status})" if status >= 400 else "0"
    return f"{head}\n{json.dumps(document)}\n"
