"""Pull requests of the pipeline: one for each branch, opened or updated, with its check."""

from scripts.github import gh
from scripts.workspace import actions, console, git, remote
from scripts.workspace.errors import YourTurn

CHECK = "ci"  # the job of ci.yml that branch protection asks for: a request opened by a workflow's own token starts no checks


def propose(commit: str, branch: str, base: str, title: str, body: str, verdict: str, good: bool = True) -> str:
    """Pushes `commit` as `branch` and proposes it for `base`. Returns the request's address.

    `verdict` is the text of its check, which passes if `good`. An interrupted call can be repeated. If Actions may not open requests, it
    says which setting allows it, and where to open this one by hand.
    """
    there = _there(branch, commit)
    if not there:
        _push(commit, branch)
    address = _open(branch, base, title, body)
    status = {"state": "success" if good else "failure", "context": CHECK, "description": verdict[:140]}
    gh.api("POST", f"statuses/{there or commit}", status)
    console.say(f"  proposed   {title}: {address}")
    actions.summary(f"Proposed: [{title}]({address})")
    return address


def _push(commit: str, branch: str) -> None:
    """Pushes to the pipeline's own branch: a refusal is therefore a rule that people have made, or a limit of GitHub's."""
    try:
        remote.push(commit, branch, force=True)
    except remote.Protected as error:
        problem = f"origin takes no branch {branch} from here: {error}"
        raise YourTurn(problem, f"let {branch} pass that rule, or run this again on what main is by now") from None


def _there(branch: str, commit: str) -> str | None:
    """Origin's commit if it holds this same proposal: its reviews then remain valid."""
    try:
        there = remote.fetch(branch)
    except YourTurn:
        return None
    mine, other = (git.text("rev-parse", f"{c}^{{tree}}", f"{c}^") for c in (commit, there))
    return there if mine == other else None


def _open(branch: str, base: str, title: str, body: str) -> str:
    owner = gh.repository().partition("/")[0]
    document = {"title": title, "body": gh.fitted(body)}
    for pull in gh.api("GET", f"pulls?state=open&base={base}&head={owner}:{branch}"):
        return gh.api("PATCH", f"pulls/{pull['number']}", document)["html_url"]
    try:
        return gh.api("POST", "pulls", document | {"head": branch, "base": base})["html_url"]
    except gh.Refused as error:
        if "not permitted to create" not in error.problem:
            raise
    address = gh.url(f"compare/{base}...{branch}?expand=1")
    setting = "Settings → Actions → General → Allow GitHub Actions to create and approve pull requests"
    text = f"Actions may not open pull requests here; open it yourself at {address}, or allow it: {setting}"
    console.say(f"  skipped    {text}")
    actions.annotate("warning", text)
    return address
