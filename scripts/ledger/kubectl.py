"""kubectl, which renders the overlays."""

import re

from scripts.workspace import process
from scripts.workspace.errors import YourTurn

ABSENT = YourTurn("kubectl is not installed, and it renders the overlays", "https://kubernetes.io/docs/tasks/tools/")

WARNING = "# Warning:"  # as kustomize begins its own


def render(folder: str, shown: str) -> str:
    """The manifests of a kustomization, which people know as `shown`.

    A warning of kustomize is an error, since a later version will refuse the same file; a notice of kubectl is not.
    """
    done = process.text(["kubectl", "kustomize", folder], ABSENT)
    warnings = "\n".join(line for line in done.stderr.splitlines() if line.startswith(WARNING))
    if done.returncode or warnings:
        problem = f"the overlay does not render: {_words(done.stderr if done.returncode else warnings)}"
        raise YourTurn(
            problem, f"edit {shown}, or what it is made of, and commit; kubectl kustomize {shown} shows the same"
        )
    return done.stdout


def apply(folder: str) -> None:
    """Server-side apply of a kustomization, as the user of the kubeconfig."""
    done = process.text(["kubectl", "apply", "--server-side", "--kustomize", folder], ABSENT)
    if done.returncode:
        raise YourTurn(f"{folder} cannot be applied: {_words(done.stderr)}", "the same command again")


def _words(stderr: str) -> str:
    """kubectl's message, without the log line that it puts around errors of several lines."""
    text = " ".join(stderr.split()).replace('\\"', '"')
    return re.sub(r"^E\d{4} .*? err=(?:< |\")(.*?)(?: >|\")$", r"\1", text).removeprefix("error: ")
