"""why: from what serves back to its cause, from git and the registry; and what git knows of verifications."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.ledger import stays, verified
from scripts.ledger.entries import Entry
from tests.support.fork import Fork
from tests.test_freeze import verb
from tests.test_promote import push, release

ONE, TWO, THREE = (f"175000000{number}-{str(number) * 12}" for number in (1, 2, 3))
KINDS = ["application/spdx+json", "application/vnd.dev.sigstore.bundle.v0.3+json"]


class Registry(http.server.BaseHTTPRequestHandler):
    """Has every manifest, and for each an attestation and a bill of materials."""

    def do_GET(self) -> None:
        manifests = [{"digest": f"sha256:{'9' * 64}", "artifactType": kind} for kind in KINDS]
        body = json.dumps({"manifests": manifests}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/models"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Fork:
    """Dev had releases 1 to 3; mona merged release 1 into staging, after a review."""
    folder = tmp_path_factory.mktemp("why")
    fork = Fork(folder / "fork")
    for number, error in ((1, 0.5), (2, 0.25), (3, 0.125)):
        (fork.root / "model/instant.py").write_text(f"# {number}\n")
        fork.commit(f"Train it {number} times")
        document = release(number, commit=fork.git("rev-parse", "HEAD").strip())
        document["image"]["name"] = registry
        document["models"][0] |= {"metrics": {"error": error}, "examples": [example(float(number))]}
        document["models"][0]["gates"][0] |= {"value": error}
        push(fork, document)
        verb(fork, "promote", "dev", "--reason", "better" if number == 2 else "")
        if number == 1:
            fork.git("checkout", "-q", "-b", "proposal")
            verb(fork, "promote", "staging")
            fork.git("checkout", "-q", "main")
            message = "Merge it\n\nReviewed-by: Hubot <hubot@example.com>"
            fork.git("-c", "user.name=mona", "merge", "-q", "--no-ff", "-m", message, "proposal")
    subprocess.run(["git", "clone", "-q", "--bare", fork.root, folder / "origin.git"], check=True)
    fork.git("remote", "add", "origin", str(folder / "origin.git"))
    return fork


def example(answer: float) -> dict[str, Any]:
    return {"inputs": {"x": [[1.0]]}, "outputs": {"y": [[answer]]}, "tolerance": 0.1}


def why(fork: Fork, *arguments: str) -> dict[str, Any]:
    return json.loads(verb(fork, "why", *arguments, "--json", "-", out=True))


def test_one_screen_from_the_release_to_its_cause(fork: Fork) -> None:
    lines = verb(fork, "why", "dev", "--release", TWO, out=True).splitlines()
    said = {line[:12].strip(): line[13:] for line in lines if line[:12].strip()}
    assert lines[0] == f"dev served release {TWO}, by its ledger" and len(lines) < 24
    assert f"promote {TWO}, commit " in said["since"] and said["since"].endswith(": better")
    assert f"promote {THREE}" in said["until"]
    assert said["registry"] == f"has it, with {', '.join(KINDS)}"
    assert "Train it 2 times (fork, 2025-06-15)" in said["made of"]
    assert said["commits"] == f"1 since release {ONE}"
    assert said["instant"] == "error 0.25 (must be <= 1, before 0.5)"
    assert said["answers"] == "1 changed, of 1 golden examples that the release before has too"
    assert "y[0][0] is 2.0, not 1.0" in lines[-1]


def test_as_json_it_says_what_answers_now_and_who_let_it_in(fork: Fork) -> None:
    dev, staging = why(fork, "dev"), why(fork, "staging")
    assert (dev["release"], dev["serves"], dev["before"]) == (THREE, True, TWO)
    assert (dev["approved"]["how"], staging["approved"]["how"]) == ("commit", "merge")
    assert (staging["approved"]["by"], staging["approved"]["reviewers"]) == ("mona", "Hubot <hubot@example.com>")


def test_what_git_knows_of_a_verification(fork: Fork) -> None:
    """Nothing of a promotion's, until the workflow records it or the next environment takes the release; then when."""
    assert why(fork, "dev")["verified"]["known"] == "unknown"
    assert why(fork, "dev", "--release", ONE)["verified"]["how"].startswith("staging took it over afterwards, ")
    verb(fork, "publish", "--verified", "dev")
    verb(fork, "publish", "--verified", "dev")
    log = fork.git("log", "--format=%cI %T", "origin/verified/dev").split()
    assert len(log) == 2 and log[1] == fork.git("rev-parse", "HEAD^{tree}").strip(), "once, and with what was deployed"
    found = why(fork, "dev")["verified"]
    assert (found["known"], found["time"][:19]) == ("verified", log[0][:19])


def test_what_the_ledger_itself_says_of_a_verification() -> None:
    """A rollback is written down once it is verified, and what failed was put back."""
    acts = [
        ("promote", ONE, ""),
        ("promote", TWO, ""),
        ("return", ONE, f"{TWO} failed: it crashes"),
        ("rollback", TWO, ""),
    ]
    entries = [Entry(f"2026-01-0{day}T00:00:00+00:00", *act[:2], "serving", act[2]) for day, act in enumerate(acts, 1)]
    found = [verified.of(stay, "dev", {}) for stay in stays.of(entries)]
    assert [one["known"] for one in found] == ["verified", "failed", "verified", "verified"]
    assert (found[1]["how"], found[3]["time"]) == ("it crashes", entries[3].time)
    before, canary = (
        Entry("1", "promote", ONE, "promoted"),
        Entry("2", "canary", ONE, "serving", "as good as the one before"),
    )
    assert verified.of(stays.of([before, canary])[0], "dev", {})["time"] == "2", "a canary's result is committed, too"


def test_a_record_that_origin_refuses_does_not_fail_the_deployment(fork: Fork) -> None:
    hook = Path(fork.git("remote", "get-url", "origin").strip()) / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no branches from here\nexit 1\n")
    hook.chmod(0o755)
    told = verb(fork, "publish", "--verified", "staging")
    hook.unlink()
    assert "origin takes no branch verified/staging from here (no branches from here): git will not say when" in told


BAD = {
    "serves nothing": (
        ("production",),
        "production serves nothing, by its ledger: there is nothing to explain",
        "promote production",
    ),
    "local serves nothing": (
        ("local",),
        "local serves nothing, by its ledger: there is nothing to explain",
        "deploy local",
    ),
    "was never there": (
        ("staging", "--release", THREE),
        f"release {THREE} was never in the ledger of staging",
        "history staging",
    ),
    "no such release": (("dev", "--release", "777"), "release 777 is in no ledger of this clone", "history dev"),
}


@pytest.mark.parametrize("defect", BAD)
def test_bad_input(fork: Fork, defect: str) -> None:
    arguments, problem, remedy = BAD[defect]
    assert verb(fork, "why", *arguments, code=1).startswith(f"error: {problem}\n  next: ./pipeline {remedy}")
