"""A fork with a long history, made by `git fast-import` in a second: people's commits, and deployments to environments between them."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.support.fork import Fork
from tests.test_promote import NAME, release

FIRST = 1_700_000_000  # seconds since the epoch: the first commit's time
ENVIRONMENTS = ["dev", "test", "canary", "staging", "production"]
BACK = 7  # every so many deployments of an environment, the next act is a rollback


def with_environments(fork: Fork, names: list[str]) -> None:
    """The overlays and settings of `names`, in this order."""
    for name in names:
        if not (folder := fork.root / f"k8s/overlays/{name}").exists():
            shutil.copytree(fork.root / "k8s/overlays/dev", folder)
            text = (folder / "kustomization.yaml").read_text()
            (folder / "kustomization.yaml").write_text(text.replace("serving-dev", f"serving-{name}"))
            line = f'{name} = {{ context = "", by = "pull-request" }}\n'
            fork.edit("pyproject.toml", "staging = {", f"{line}staging = {{")
    fork.commit("the environments")


def document(number: int) -> dict[str, Any]:
    """release.json number `number`; its metrics differ from each other's."""
    found = release(number)
    found["id"] = hashlib.sha256(str(number).encode()).hexdigest()
    found["image"]["digest"] = f"sha256:{found['id']}"
    model = found["models"][0]
    model["metrics"] = {"error": 1 / (number + 3), "accuracy": 0.9 + (number * 7 % 97) / 1000}
    model["gates"] = [{"metric": "error", "bound": "<= 0.5", "value": 1 / (number + 3)}]
    model["examples"] = [{"inputs": {"x": [[1.0]]}, "outputs": {"y": [[float(number)]]}, "tolerance": 0.1}]
    return found


def make(fork: Fork, names: list[str], deployments: int, commits: int, reason: str = "it is better") -> None:
    """`deployments` to each of `names` and `commits` in all, on top of what `fork` has; `fork` is then at the newest."""
    texts = {name: fork.git("show", f"HEAD:k8s/overlays/{name}/kustomization.yaml") for name in names}
    base = fork.git("rev-parse", "HEAD").strip()
    stream = "".join(_stream(texts, deployments, commits, base, reason))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=fork.root, input=stream.encode(), check=True)
    fork.git("reset", "-q", "--hard")


def acts(names: list[str], deployments: int) -> Iterator[tuple[str, str, int]]:
    """Environment, action and number of the release of each act, oldest first."""
    for number in range(1, deployments + 1):
        for name in names:
            back = number % BACK == 0
            yield (name, "rollback", number - 2) if back else (name, "promote", number)


def _stream(texts: dict[str, str], deployments: int, commits: int, base: str, reason: str) -> Iterator[str]:
    total = deployments * len(texts)
    between = max((commits - total) // max(total, 1), 0)
    seconds, parent = FIRST, f"from {base}\n"
    for place, (name, action, number) in enumerate(acts(list(texts), deployments)):
        for person in range(between):
            seconds += 600
            yield _commit(seconds, f"Work {place}.{person}", parent, {"notes.txt": f"{place}.{person}\n"})
            parent = ""
        seconds += 600
        yield _commit(seconds, f"{name}: {action}", parent, _files(name, texts[name], action, number, place, reason))
        parent = ""


def _files(name: str, text: str, action: str, number: int, place: int, reason: str) -> dict[str, str]:
    made = document(number)
    label = f"{made['version']}-{made['id'][:12]}"
    outcome = "serving" if action == "rollback" else "promoted"
    entry = {"action": action, "release": label, "outcome": outcome, "reason": reason, "on": str(place)}
    image = f"images:\n  - name: serving\n    newName: {NAME}\n    digest: {made['image']['digest']}\n"
    files = {"release.json": json.dumps(made), "ledger.json": json.dumps(entry), "kustomization.yaml": text + image}
    return {f"k8s/overlays/{name}/{file}": content for file, content in files.items()}


def _commit(seconds: int, message: str, parent: str, files: dict[str, str]) -> str:
    lines = [
        f"commit refs/heads/main\ncommitter someone <someone@example.com> {seconds} +0000\n",
        _data(message),
        parent,
    ]
    return "".join([*lines, *(f"M 100644 inline {path}\n{_data(text)}" for path, text in files.items()), "\n"])


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
