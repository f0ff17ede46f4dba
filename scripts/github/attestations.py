"""Attestations: GitHub's signed word that this fork's own release workflow, on main, has built an image."""

import re
import string
from pathlib import Path

from scripts.github import fork, gh
from scripts.release.releases import Release
from scripts.workspace import settings
from scripts.workspace.errors import YourTurn

WORKFLOW = ".github/workflows/release.yml"
POLICIES = Path("k8s/admission/attested")  # by which a cluster asks for the attestation itself
# gh's words for an image without an attestation, and for a plan without the service.
NONE = re.compile(r"no attestations? found|HTTP 40[34]|(?:not|isn't) (?:available|enabled|supported)", re.I)


def wanted() -> bool:
    """Whether an image must have one: always if the settings say so, else where every plan of GitHub makes them."""
    return settings.read().attestation == "required" or not gh.api("GET", "")["private"]


def why_not() -> str:
    return "attestations of a private repository need GitHub Enterprise Cloud, and the settings say: where-possible"


def check(release: Release) -> str:
    """Verifies the attestation of the release's image. Returns what was found, in words; raises YourTurn for a missing or a wrong one."""
    name, digest = release.image
    signer = f"{gh.repository()}/{WORKFLOW}"
    identity = ["--repo", gh.repository(), "--signer-workflow", signer, "--source-ref", "refs/heads/main"]
    done = gh.gh("attestation", "verify", f"oci://{name}@{digest}", *identity, "--format", "json")
    if not done.returncode:
        return f"release {release.name} was built by {signer} on main"
    words = " ".join(done.stderr.split()).removeprefix("gh: ")
    missing = bool(NONE.search(words)) and not gh.TRANSIENT.search(words)
    if missing and not wanted():
        return f"release {release.name} has none: {why_not()}"
    problem = (
        f"release {release.name} {'has no attestation' if missing else 'was not built by this repository'}: {words}"
    )
    raise YourTurn(problem, "let the release workflow build it, and promote that; nothing was deployed")


def policies() -> list[str]:
    """The admission controllers for which there is a policy."""
    return sorted(path.stem for path in POLICIES.glob("*.yaml"))


def policy(controller: str) -> str:
    """The manifest by which that controller admits only what this fork's release workflow attested.

    The name is GitHub's own spelling where GitHub can be asked: a signature's identity is compared letter by letter.
    """
    name = gh.repository() if fork.unreachable() else fork.get("")["full_name"]
    signer = f"{gh.SERVER}/{name}/{WORKFLOW}@refs/heads/main"
    return string.Template((POLICIES / f"{controller}.yaml").read_text()).substitute(repository=name, signer=signer)
