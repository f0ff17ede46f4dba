"""What a fork on GitHub needs so that a merge deploys, check by check; everything is read, nothing is changed."""

import datetime
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from scripts.checks.finding import Finding
from scripts.environments import connection
from scripts.github import fork, gh
from scripts.github.gh import Refused
from scripts.github.pull_requests import CHECK
from scripts.ledger import overlays
from scripts.release import images
from scripts.workspace import remote

# Repositories made or renamed since this day have a subject with numbers, which no later owner of the name can have.
IMMUTABLE_FROM = datetime.datetime(2026, 7, 15, tzinfo=datetime.UTC)
PREVIEW = "preview"  # the environment of all pull requests: open to any branch
MAIN = "main"  # the branch that the workflows name
SWITCHES = {
    "DRIFT": "the state of each environment, every night",
    "SECURITY": "CodeQL, dependency review, a scan of the images that run, Scorecard",
    "RETRAIN": "new data every week, as a pull request",
    "PREVIEW": "a namespace for each pull request",
}


def github() -> Iterator[Finding]:
    """Whether the checks after this one can be made."""
    if reason := fork.unreachable():
        text = f"{reason[0]}: Actions, environments and variables are not looked at; {reason[1]}"
        yield Finding("GitHub", "off", text)
        yield from _offline()
        return
    about = fork.get("")
    kind = "fork" if about["fork"] else "repository"
    yield Finding("GitHub", "ok", f"{about['full_name']}, a {about['visibility']} {kind}")
    for check in (_actions, _pull_requests, _issues, _switches, _branch, _subjects, _package, _attestations):
        try:
            yield from check()
        except Refused as refused:
            yield _unread(check.__name__.strip("_").replace("_", " "), refused)
    try:
        names = _names_on_github()
    except Refused as refused:
        yield _unread("variables", refused)
        return
    for name in names:
        try:
            yield from _environment(name)
        except Refused as refused:
            yield _unread(f"environment {name}", refused)


def _unread(subject: str, refused: Refused) -> Finding:
    why = "the plan lacks it" if fork.is_the_plan(refused) else "not readable with this login"
    return Finding(subject, "off", f"{why}: {refused.problem}")


def _offline() -> Iterator[Finding]:
    """What the folder itself says: enough to prepare a cloud's trust without gh."""
    if name := remote.on_github():
        yield Finding("image", "ok", images.name())
        owner, repository = name.split("/")
        text = f"repo:{owner}@OWNER_ID/{repository}@REPOSITORY_ID:environment:ENV; gh fills in the numbers"
        yield Finding("OIDC subject", "off", text)


def _names_on_github() -> list[str]:
    """One environment for each overlay, and one for all previews if there are any."""
    previews = [PREVIEW] if _repository_variables().get("PREVIEW") == "true" else []
    return [*overlays.names(), *previews]


def _actions() -> Iterator[Finding]:
    permissions = fork.get("actions/permissions")
    if not permissions["enabled"]:
        remedy = f"allow Actions: {gh.url('settings/actions')}"
        yield Finding("Actions", "missing", "switched off", remedy)
        return
    workflows = fork.listed("actions/workflows", "workflows")
    if fork.get("")["fork"] and not workflows:
        yield Finding("Actions", "missing", "not yet allowed in this fork", f"press the button: {gh.url('actions')}")
        return
    if (allowed := permissions.get("allowed_actions", "all")) != "all":
        text = f"only {allowed} actions may run, and the workflows use some of other owners"
        yield Finding("Actions", "missing", text, f"allow them: {gh.url('settings/actions')}")
    else:
        yield Finding("Actions", "ok", f"on, {len(workflows)} workflows")
    for workflow in workflows:
        if workflow["state"].startswith("disabled"):
            text = f"{workflow['name']} is {workflow['state'].replace('_', ' ')}"
            name = workflow["path"].rpartition("/")[2]
            yield Finding("workflow", "off", f"{text}; gh workflow enable {name}")


def _pull_requests() -> Iterator[Finding]:
    if fork.get("actions/permissions/workflow")["can_approve_pull_request_reviews"]:
        yield Finding("pull requests", "ok", "Actions may open them: promotions")
        return
    remedy = f"tick “Allow GitHub Actions to create and approve pull requests”: {gh.url('settings/actions')}"
    yield Finding("pull requests", "missing", "Actions may not open any, and a promotion is one", remedy)


def _issues() -> Iterator[Finding]:
    """Whether issues are enabled: in a new fork they are not."""
    if fork.get("")["has_issues"]:
        yield Finding("issues", "ok", "on: drift reports there")
    elif _repository_variables().get("DRIFT") == "true":
        yield Finding("issues", "missing", "off, and drift reports there", "gh repo edit --enable-issues")
    else:
        yield Finding("issues", "off", "off: drift would report there; gh repo edit --enable-issues")


def _switches() -> Iterator[Finding]:
    """The workflows that run only where a fork asks for them."""
    for name, what in SWITCHES.items():
        if _repository_variables().get(name) == "true":
            yield Finding(name.lower(), "ok", f"on: {what}")
        else:
            yield Finding(name.lower(), "off", f"off: {what}; gh variable set {name} --body true")


def _branch() -> Iterator[Finding]:
    branch = fork.get("")["default_branch"]
    if branch != MAIN:
        text = f"the default branch is {branch}, and every workflow is of {MAIN}"
        yield Finding(
            "branch",
            "missing",
            text,
            f"gh api --method POST repos/{remote.on_github()}/branches/{quote(branch, safe='')}/rename -f new_name={MAIN}",
        )
    rules = fork.get(f"rules/branches/{quote(branch, safe='')}")
    checks = [
        check["context"]
        for rule in rules
        if rule["type"] == "required_status_checks"
        for check in rule["parameters"]["required_status_checks"]
    ]
    if CHECK in checks:
        yield Finding("branch", "ok", f"{branch} takes only what passed {CHECK}")
    elif not rules and fork.get(f"branches/{quote(branch, safe='')}")["protected"]:
        yield Finding("branch", "ok", f"{branch} is protected by a rule of your own; it should require {CHECK}")
    else:
        text = f"{branch} takes a push that no check has seen"
        yield Finding("branch", "missing", text, "./pipeline protect")


def subject_prefix() -> tuple[str, bool]:
    """What each OIDC subject of this repository begins with, and whether it is GitHub's default one."""
    try:
        custom = fork.get("actions/oidc/customization/sub")
    except Refused:
        custom = {}
    default = bool(custom.get("use_default", True))
    if prefix := str(custom.get("sub_claim_prefix", "")):
        return prefix, default
    about = fork.get("")
    owner, made = about["owner"], datetime.datetime.fromisoformat(about["created_at"])
    if custom.get("use_immutable_subject", made >= IMMUTABLE_FROM):
        return f"repo:{owner['login']}@{owner['id']}/{about['name']}@{about['id']}", default
    return f"repo:{about['full_name']}", default


def _subjects() -> Iterator[Finding]:
    prefix, default = subject_prefix()
    if not default:
        text = f"{remote.on_github()} has a subject of its own making, beginning with {prefix}: the trust must be of that form"
        yield Finding("OIDC subject", "off", text)
        return
    for name in _names_on_github():
        yield Finding("OIDC subject", "ok", f"{prefix}:environment:{name}")


def _package() -> Iterator[Finding]:
    image = images.name()
    if not (match := re.fullmatch(r"ghcr\.io/([^/]+)/(.+)", image)):
        yield Finding("image", "ok", f"{image}: not on GitHub, not looked at")
        return
    organization = fork.get("")["owner"]["type"] == "Organization"
    path = f"{'orgs' if organization else 'users'}/{match[1]}/packages/container/{quote(match[2], safe='')}"
    try:
        visibility = fork.get_anywhere(path)["visibility"]
    except Refused as refused:
        if refused.status != 404:
            raise
        yield Finding("image", "off", f"{image}: nothing pushed yet; the first release does it")
        return
    if visibility == "public":
        yield Finding("image", "ok", f"{image}: public, any cluster can pull it")
    else:
        text = f"{image}: {visibility}, the cluster needs k8s/components/pull-secret, or make the package public"
        yield Finding("image", "off", text)


def _attestations() -> Iterator[Finding]:
    if fork.get("")["private"]:
        text = "in private repositories only with Enterprise Cloud; without, deploy goes by the digest alone"
        yield Finding("attestations", "off", text)
    else:
        yield Finding("attestations", "ok", "public: who built an image is signed, and verified before it is deployed")


def _environment(name: str) -> Iterator[Finding]:
    try:
        here = {environment["name"]: environment for environment in fork.listed("environments", "environments")}
    except Refused as refused:
        if not fork.get("")["private"] or refused.status not in (403, 404):
            raise
        yield from _without_environments(name)
        return
    if name not in here:
        text = f"not there: its first deployment makes it; settings and reviewers: {gh.url('settings/environments')}"
        yield Finding(f"environment {name}", "off", text)
        return
    variables = _variables(name)
    provider = variables.get("CLUSTER", "")
    yield from _cluster(name, provider, variables)
    yield _reviewers(name, here[name])
    if provider and name != PREVIEW and not here[name].get("deployment_branch_policy"):
        text = "any branch may deploy to it, with its cluster's credentials"
        remedy = f"deployment branches: {fork.get('')['default_branch']} only: {gh.url('settings/environments')}"
        yield Finding(f"environment {name}", "missing", text, remedy)


def _without_environments(name: str) -> Iterator[Finding]:
    """A private repository on the free plan has no environments: its own variables and secrets hold for all."""
    text = "the plan has no environments in a private repository: its variables and secrets hold for every environment, and nobody reviews"
    yield Finding(f"environment {name}", "off", text)
    variables = _repository_variables()
    yield from _cluster(name, variables.get("CLUSTER", ""), variables, scope="")


def _repository_variables() -> dict[str, str]:
    """The repository's variables override its organization's."""
    paths = ["actions/organization-variables", "actions/variables"]
    return {variable["name"]: variable["value"] for path in paths for variable in _listed_or_none(path)}


def _variables(environment: str) -> dict[str, str]:
    """What a job of that environment sees as `vars`: the environment's own override the repository's."""
    own = _listed_or_none(f"environments/{environment}/variables")
    return _repository_variables() | {variable["name"]: variable["value"] for variable in own}


def _listed_or_none(path: str) -> list[dict[str, Any]]:
    try:
        return fork.listed(path, "variables")
    except Refused as refused:
        if refused.status != 404:  # a user's repository has no organization
            raise
        return []


def _cluster(name: str, provider: str, variables: dict[str, str], scope: str = "environment") -> Iterator[Finding]:
    """Checks the environment's own variables and secrets; with an empty `scope`, the repository's."""
    where = f" --env {name}" if scope else ""
    subject, set_it = f"environment {name}", f"gh variable set{where}"
    if not provider:
        yield Finding(subject, "off", f"no cluster: {set_it} CLUSTER --body eks, or gke, aks, kubeconfig")
        return
    if provider not in connection.NEEDED:
        text = f"CLUSTER is {provider!r}; there is: {', '.join(connection.NEEDED)}"
        yield Finding(subject, "missing", text, f"{set_it} CLUSTER")
        return
    there = variables | ({connection.SECRET: "set"} if "KUBECONFIG" in _secrets(name if scope else "") else {})
    absent = [needed for needed in connection.NEEDED[provider] if not there.get(needed)]
    for needed in absent:
        secret = needed == connection.SECRET
        remedy = f"gh secret set{where} KUBECONFIG < FILE" if secret else f"{set_it} {needed}"
        yield Finding(subject, "missing", f"{provider} needs {needed}", remedy)
    if not absent:
        yield Finding(subject, "ok", " ".join([provider, variables.get("CLUSTER_NAME", "")]).strip())


def _secrets(environment: str) -> list[str]:
    path = f"environments/{environment}/secrets" if environment else "actions/secrets"
    return [secret["name"] for secret in fork.listed(path, "secrets")]


def _reviewers(name: str, environment: dict[str, Any]) -> Finding:
    subject = f"environment {name}"
    for rule in environment.get("protection_rules", []):
        if rule["type"] == "required_reviewers":
            who = [reviewer["reviewer"].get("login") or reviewer["reviewer"]["slug"] for reviewer in rule["reviewers"]]
            return Finding(subject, "ok", f"waits for {', '.join(who)}")
    if fork.get("")["private"]:
        text = "no reviewers: a private repository has them with Enterprise only; the pull request of the promotion is the gate"
    else:
        text = f"no reviewers: the merge of the promotion is the gate; {gh.url('settings/environments')}"
    return Finding(subject, "off", text)
