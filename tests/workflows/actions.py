"""What stands in for the actions of others: a function each; an action without one is only recorded. Standard library only.

python actions.py OWNER/NAME        # inputs as INPUT_NAME, as a runner gives them
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN_FOLDER"])


def checkout() -> None:
    """As deep as it was asked for: a step that needs the history and did not ask fails here as it would there."""
    here, reference = os.environ["GITHUB_WORKSPACE"], given("ref") or os.environ["GITHUB_SHA"]
    depth = given("fetch-depth") or "1"
    run("git", "init", "-q", "-b", "main", here)
    os.chdir(here)
    run("git", "remote", "add", "origin", os.environ["STAND_IN_ORIGIN"])
    run("git", "fetch", "-q", *([] if depth == "0" else [f"--depth={depth}"]), "origin", *refspecs(reference, depth))
    if is_branch(reference):
        run("git", "checkout", "-q", "-B", reference, f"origin/{reference}")
    else:
        run("git", "checkout", "-q", "--detach", reference)
    Path(".venv").symlink_to(os.environ["STAND_IN_VENV"])  # what the launcher would make, made once


def refspecs(reference: str, depth: str) -> list[str]:
    if depth == "0":
        return ["+refs/heads/*:refs/remotes/origin/*"]
    return [f"+refs/heads/{reference}:refs/remotes/origin/{reference}"] if is_branch(reference) else [reference]


def is_branch(reference: str) -> bool:
    origin = os.environ["STAND_IN_ORIGIN"]
    return bool(subprocess.run(["git", "ls-remote", "--heads", origin, reference], capture_output=True).stdout)


def upload_artifact() -> None:
    """Paths below the least common ancestor of all that was named, as the real one keeps them."""
    paths = [path for line in given("path").split("\n") if line.strip() for path in Path().glob(line.strip())]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    if not files:
        sys.exit("no files were found" if given("if-no-files-found") == "error" else 0)
    root = Path(os.path.commonpath([file.parent for file in files])) if len(paths) > 1 else paths[0]
    root = root.parent if root.is_file() else root
    for file in files:
        target = artifact() / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)  # the mode is lost, as it is there


def download_artifact() -> None:
    """One by its name; or all whose names have a pattern, merged, of which there may be none."""
    if given("pattern"):
        for found in artifact().parent.glob(given("pattern")):
            shutil.copytree(found, given("path") or ".", dirs_exist_ok=True)
        return
    if not artifact().exists():
        sys.exit(f"Unable to download artifact(s): Artifact not found for name: {given('name')}")
    shutil.copytree(artifact(), given("path") or ".", dirs_exist_ok=True)


def artifact() -> Path:
    return FOLDER / "artifacts" / os.environ["GITHUB_RUN_ID"] / (given("name") or "artifact")


def attest() -> None:
    """An attestation as `gh attestation verify` would find it: of which image, by which workflow, of which branch."""
    path = Path(os.environ["STAND_IN_STATE"])
    document = json.loads(path.read_text())
    if document["repository"]["private"] and not document.get("enterprise"):
        sys.exit("Failed to persist attestation: Feature not available for the acme organization")
    record = {
        "subject": f"{given('subject-name')}@{given('subject-digest')}",
        "signer": f"{os.environ['GITHUB_REPOSITORY']}/.github/workflows/{Path(os.environ['STAND_IN_WORKFLOW']).name}",
        "ref": os.environ["GITHUB_REF"],
        "predicate": "sbom" if given("sbom-path") else "provenance",
    }
    if given("sbom-path"):
        json.loads(Path(given("sbom-path")).read_text())
    path.write_text(json.dumps(document | {"attestations": [*document.get("attestations", []), record]}, indent=1))


def given(name: str) -> str:
    return os.environ.get(f"INPUT_{name.replace(' ', '_').upper()}", "").strip()


def run(*command: str) -> None:
    subprocess.run(command, check=True)


ACTIONS: dict[str, Callable[[], None]] = {
    "actions/checkout": checkout,
    "actions/upload-artifact": upload_artifact,
    "actions/download-artifact": download_artifact,
    "actions/attest": attest,
}


def record(action: str) -> None:
    inputs = {
        key.removeprefix("INPUT_").lower(): value for key, value in os.environ.items() if key.startswith("INPUT_")
    }
    with (FOLDER / "calls.jsonl").open("a") as file:
        file.write(json.dumps({"action": action, "with": inputs}) + "\n")


if __name__ == "__main__":
    record(sys.argv[1])
    ACTIONS.get(sys.argv[1], lambda: None)()
