"""Pull requests of the pipeline: one for a branch, made or brought up to date, with its check."""

from scripts.github import gh
from scripts.workspace import actions, console, git, remote
from scripts.workspace.errors import YourTurn

CHECK = "ci"  # the job of ci.yml that branch protection asks for: a request opened by a workflow's own token starts no checks


def propose(branch: str, base: str, title: str, body: str, verdict: str) -> str:
    """Pushes HEAD as `branch` and proposes it for `base`; `verdict` is what its check says. Returns the request's address.

    Each step finds what an interrupted one has left, and goes on. Where Actions may not open requests, it says which setting allows it,
    and where to open this one by hand.
    """
    if not _is_there(branch):
        remote.push(branch, force=True)
    commit = git.text("rev-parse", "HEAD")
    address = _open(branch, base, title, body)
    gh.api("POST", f"statuses/{commit}", {"state": "success", "context": CHECK, "description": verdict[:140]})
    console.say(f"  proposed   {title}: {address}")
    actions.summary(f"Proposed: [{title}]({address})")
    return address


def _is_there(branch: str) -> bool:
    """Whether origin has this very proposal: then HEAD becomes it, and what people said of it still stands."""
    try:
        there = remote.fetch(branch)
    except YourTurn:
        return False
    mine, other = (git.text("rev-parse", f"{commit}^{{tree}}", f"{commit}^") for commit in ("HEAD", there))
    if mine == other:
        git.git("checkout", "--quiet", "--detach", there)
    return mine == other


def _open(branch: str, base: str, title: str, body: str) -> str:
    owner = gh.repository().partition("/")[0]
    document = {"title": title, "body": body}
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
