"""promote --publish, publish and changed: origin has others who push too, a branch that is protected, an API that fails."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork import Fork
from tests.test_promote import release
from tests.workflows.act import GitHub, Job

DEV, STAGING = "k8s/overlays/dev", "k8s/overlays/staging"
HOOK = """#!/bin/sh
[ "$1" != refs/heads/main ] && exit 0
echo "error: GH006: Protected branch update failed for refs/heads/main."
exit 1
"""


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    return GitHub(tmp_path / "github", Fork(tmp_path / "fork"))


def candidate(job: Job, document: dict[str, Any]) -> None:
    (job.root / "build/release").mkdir(parents=True, exist_ok=True)
    (job.root / "build/release/release.json").write_text(json.dumps(document))


def push(github: GitHub, number: int) -> Job:
    """A job that has pushed a release to dev."""
    job = github.job()
    candidate(job, release(number))
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    return github.job()


def promoted(github: GitHub, environment: str, branch: str = "main") -> str:
    return json.loads(github.git("show", f"{branch}:k8s/overlays/{environment}/release.json"))["id"][:12]


def protect(github: GitHub) -> None:
    hook = github.origin / "hooks/update"
    hook.write_text(HOOK)
    hook.chmod(0o755)


def test_the_first_environment_is_reached_by_a_commit_on_top_of_what_others_pushed(github: GitHub) -> None:
    job = github.job()
    candidate(job, release(1))
    github.fork.edit("README.md", "#", "##")
    github.fork.commit("meanwhile")
    github.push()
    output = job.root.with_suffix(".output")
    job.ok("promote", "dev", "--from", "candidate", "--publish", GITHUB_OUTPUT=str(output))
    assert github.git("log", "-2", "--format=%s", "main").splitlines() == [
        "dev: promote 1750000001-111111111111",
        "meanwhile",
    ]
    assert "\ndev\n" in output.read_text()
    assert subprocess.run(["git", "status", "--porcelain"], cwd=job.root, capture_output=True).stdout == b""


def test_a_later_one_by_a_pull_request_that_shows_the_consequences(github: GitHub) -> None:
    job = push(github, 1)
    job.ok("promote", "--after", "dev", "--publish")
    merge = github.merge(github.pull_requests()[0]["number"])
    assert promoted(github, "staging") == "111111111111"
    document = release(2)
    document["models"][0]["metrics"] = {"error": 0.25}
    document["models"][0]["examples"][0]["outputs"] = {"y": [[7.0]]}
    document["commit"] = merge[1]
    job = github.job()
    candidate(job, document)
    job.ok("promote", "dev", "--publish")
    github.job().ok("promote", "--after", "dev", "--publish")
    (pull,) = github.pull_requests()
    assert pull["title"] == "staging: promote 1750000002-222222222222"
    assert (pull["head"]["ref"], pull["base"]["ref"]) == ("promote/staging", "main")
    changed = github.git("diff", "--name-only", "main...promote/staging").split()
    assert changed == [f"{STAGING}/{name}" for name in ("kustomization.yaml", "ledger.json", "release.json")]
    for line in (
        "Release `1750000002-222222222222` for **staging**, which serves release `1750000001-111111111111`.",
        "| error | – | 0.25 | <= 1 |",
        "1 of the 1 golden examples that both have are answered differently.",
        "y[0][0] is 7.0, not 2.0",
        f".image: {release(1)['image']['name']}@sha256:{'1' * 64} → {release(2)['image']['name']}@sha256:{'2' * 64}",
        "Merge pull request #1",
    ):
        assert line in pull["body"], pull["body"]
    status = github.read()["statuses"][-1]
    head = github.git("rev-parse", "promote/staging").strip()
    assert (status["sha"], status["state"], status["context"]) == (head, "success", "ci")


def test_proposed_twice_is_one_request_and_the_same_commit(github: GitHub) -> None:
    job = push(github, 1)
    for _ in range(2):
        job.ok("promote", "staging", "--publish")
        head = github.git("rev-parse", "promote/staging").strip()
    assert len(github.pull_requests()) == 1
    assert {status["sha"] for status in github.read()["statuses"]} == {head}


def test_a_proposal_that_conflicts_is_made_anew(github: GitHub) -> None:
    push(github, 1).ok("promote", "staging", "--publish")
    old = github.git("rev-parse", "promote/staging").strip()
    github.fork.edit(f"{STAGING}/kustomization.yaml", "components: []", "components: [../../components/gpu]")
    github.fork.commit("A GPU for staging")
    github.push()
    push(github, 2).ok("promote", "staging", "--publish")
    (pull,) = github.pull_requests()
    assert "222222222222" in pull["title"]
    assert github.git("merge-base", "main", "promote/staging") == github.git("rev-parse", "main")
    assert "components/gpu" in github.git("show", f"promote/staging:{STAGING}/kustomization.yaml")
    assert old not in github.git("log", "--format=%H", "promote/staging")


def test_by_commit_further_on_starts_the_deployment(github: GitHub) -> None:
    github.fork.edit("pyproject.toml", 'staging = { context = "", by = "pull-request" }', 'staging = { by = "commit" }')
    github.fork.commit("staging without asking")
    github.push()
    command = ["promote", "--after", "dev", "--publish"]
    tokens = {"GH_TOKEN": "an App's", "DISPATCH_TOKEN": "the workflow's"}
    push(github, 1).ok(*command)  # as if cut off between its push and the dispatch
    github.job().ok(*command, "--dispatch", **tokens)
    assert promoted(github, "staging") == "111111111111"
    expected = {"workflow": "deploy.yml", "ref": "main", "inputs": {"environment": "staging"}}
    assert github.read()["dispatches"] == [expected]
    assert github.pull_requests() == []


def test_after_the_last_there_is_nothing(github: GitHub) -> None:
    assert "production is the last environment" in github.job().ok("promote", "--after", "production", "--publish").err


def test_a_protected_branch_gets_a_pull_request(github: GitHub) -> None:
    protect(github)
    job = github.job()
    candidate(job, release(1))
    output = job.root.with_suffix(".output")
    result = job.ok("promote", "dev", "--publish", GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(output))
    assert "::warning::main takes no push from here (error: GH006: Protected branch update failed" in result.out
    assert [pull["head"]["ref"] for pull in github.pull_requests()] == ["promote/dev"]
    assert not output.exists()  # nothing to deploy yet
    job = github.job()
    program = f"from scripts.steps import find; print(find._in_ledger({release(1)['id']!r}).name)"
    known = subprocess.check_output([job.root / ".venv/bin/python", "-c", program], cwd=job.root, text=True)
    assert known == "111111111111\n"  # so that the next push of the same code builds nothing again


@pytest.mark.parametrize(
    "words",
    [
        "GH013: Repository rule violations found: Commits must have verified signatures.",
        "GH013: Push cannot contain secrets",
        "refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` without `workflows` permission",
        "GH001: Large files detected.",
    ],
    ids=["unsigned", "secret", "workflow", "large"],
)
def test_a_proposal_that_the_remote_refuses_is_told_in_its_words(github: GitHub, words: str) -> None:
    hook = github.origin / "hooks/update"
    job = push(github, 1)
    hook.write_text(f"#!/bin/sh\necho 'error: {words}'\nexit 1\n")
    hook.chmod(0o755)
    result = job.run("promote", "staging", "--publish")
    assert (result.code, github.pull_requests()) == (1, [])
    told = result.err[result.err.index("error: ") :]  # before it, where git knows nobody, by whom the commit is
    assert told.startswith(f"error: origin takes no branch promote/staging from here: error: {words}")
    assert "\n  next: let promote/staging pass that rule" in result.err


def test_a_proposal_may_say_more_than_github_takes(github: GitHub) -> None:
    document = release(1)
    document["models"][0]["metrics"] = {f"a metric of a long name, number {number}": 0.5 for number in range(2000)}
    job = github.job()
    candidate(job, document)
    job.ok("promote", "dev", "--publish")
    github.job().ok("promote", "staging", "--publish")
    (pull,) = github.pull_requests()
    assert pull["body"].endswith("The rest is in the summary of the run.")


def test_the_run_of_an_old_push_brings_no_old_release_back(github: GitHub) -> None:
    """Somebody presses "Re-run" on it."""
    old = github.job()
    candidate(old, release(1))
    github.fork.edit("README.md", "#", "##")
    github.fork.commit("a later push")
    later = github.push()[1]
    job = github.job()
    candidate(job, release(2) | {"commit": later})
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    result = old.ok("promote", "dev", "--from", "candidate", "--publish")
    assert "dev has release 222222222222 of a later push" in result.err
    assert promoted(github, "dev") == "222222222222"
    old.ok("promote", "dev", "--from", "candidate", "--publish", "--reason", "the later one is slow")
    assert promoted(github, "dev") == "111111111111"


def test_a_revert_of_the_code_brings_the_release_of_then_back(github: GitHub) -> None:
    """It is known by its code, and older than what serves; the push that wants it is not."""
    first = github.git("rev-parse", "main").strip()
    push(github, 1)
    job = github.job()
    candidate(job, release(2) | {"commit": github.git("rev-parse", "main").strip()})
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    github.fork.commit("the revert")
    github.push()
    job = github.job()
    candidate(job, release(1) | {"commit": first})
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    assert promoted(github, "dev") == "111111111111"


@pytest.mark.parametrize("promoted_first", [True, False])
def test_the_run_of_a_push_that_was_reverted_brings_nothing_back(github: GitHub, promoted_first: bool) -> None:
    """Also where that run failed, and the one of the revert found in dev what it wants."""
    first = github.git("rev-parse", "main").strip()
    job = github.job()
    candidate(job, release(1) | {"commit": first})
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    github.fork.git("pull", "-q", "--rebase", "origin", "main")
    github.fork.edit("model/rents.py", "import", "# reverted soon\nimport")
    github.fork.commit("a push")
    github.push()
    old = github.job()
    candidate(old, release(2) | {"commit": github.git("rev-parse", "main").strip()})
    if promoted_first:
        old.ok("promote", "dev", "--from", "candidate", "--publish")
    github.fork.git("revert", "--no-edit", "HEAD")
    if promoted_first:  # so that only the ledger says by which push the release came
        github.fork.edit("tests/test_add.py", "import", "# another test\nimport")
        github.fork.commit("and a test")
    github.push()
    job = github.job()
    candidate(job, release(1) | {"commit": first})
    job.ok("promote", "dev", "--from", "candidate", "--publish")
    assert promoted(github, "dev") == "111111111111"
    result = old.ok("promote", "dev", "--from", "candidate", "--publish")
    assert "dev has release 111111111111 of a later push" in result.err
    assert promoted(github, "dev") == "111111111111"


def test_where_actions_may_open_no_requests_it_says_so_and_goes_on(github: GitHub) -> None:
    github.change(can_open=False)
    result = push(github, 1).ok("promote", "staging", "--publish")
    assert "open it yourself at https://github.com/acme/Model/compare/main...promote/staging?expand=1" in result.err
    assert promoted(github, "staging", "promote/staging") == "111111111111"


@pytest.mark.parametrize("request_", ["GET /pulls", "POST /pulls", "POST .*/statuses"])
def test_an_api_that_fails_midway_is_taken_up_by_the_next_run(github: GitHub, request_: str) -> None:
    job = push(github, 1)
    github.change(fail=[[request_.replace(" /", " .*/"), 1, "Resource not accessible by integration (HTTP 403)"]])
    result = job.run("promote", "staging", "--publish")
    assert result.code == 1
    assert "error: GitHub refuses " in result.err
    assert "HTTP 403" in result.err
    github.job().ok("promote", "staging", "--publish")
    assert len(github.pull_requests()) == 1
    assert github.read()["statuses"][-1]["sha"] == github.git("rev-parse", "promote/staging").strip()


def test_an_api_that_stumbles_is_asked_again(github: GitHub) -> None:
    job = push(github, 1)
    github.change(fail=[["POST .*/pulls", 1, "HTTP 502: Bad Gateway"]])
    job.ok("promote", "staging", "--publish")
    assert len(github.pull_requests()) == 1


def test_a_release_that_was_rolled_back_comes_back_only_with_a_reason(github: GitHub) -> None:
    push(github, 1)
    job = push(github, 2)
    correct(job, release(1), "rollback")
    job.ok("publish")
    job = github.job()
    candidate(job, release(2))
    assert "release 222222222222 was rolled back in dev (too slow)" in job.ok("promote", "dev", "--publish").err
    assert promoted(github, "dev") == "111111111111"
    job.ok("promote", "dev", "--publish", "--reason", "it was the network")
    assert promoted(github, "dev") == "222222222222"


def correct(job: Job, document: dict[str, Any], action: str) -> None:
    """What `rollback`, or a deployment that failed, writes once the cluster serves `document`."""
    program = f"""
from pathlib import Path
from scripts.ledger import entries
from scripts.ledger.overlays import Overlay
from scripts.release.releases import Release
release = Release(Path(), {document!r})
entry = entries.Entry(entries.now(), {action!r}, release.label, "serving", "too slow")
Overlay("dev").write(release, "HEAD", entry)
"""
    python = job.root / ".venv/bin/python"
    subprocess.run([python, "-c", program], cwd=job.root, check=True)


def test_a_correction_goes_on_top_of_what_others_pushed(github: GitHub) -> None:
    push(github, 1)
    job = push(github, 2)
    correct(job, release(1), "rollback")
    github.fork.edit("README.md", "#", "##")
    github.fork.edit(f"{DEV}/replicas.yaml", "replicas: 1", "replicas: 4")
    github.fork.commit("meanwhile")
    github.push()
    job.ok("publish")
    assert github.git("log", "-2", "--format=%s", "main").splitlines() == [
        "dev: rollback 1750000001-111111111111",
        "meanwhile",
    ]
    assert "replicas: 4" in github.git("show", f"main:{DEV}/replicas.yaml")
    assert "Reason: too slow" in github.git("log", "-1", "--format=%B", "main")
    assert "has all that the ledger says here" in github.job().ok("publish").err


def test_a_return_gives_way_to_a_promotion_meanwhile(github: GitHub) -> None:
    push(github, 1)
    job = push(github, 2)
    correct(job, release(1), "return")
    push(github, 3)
    assert "dev was promoted to another release meanwhile: that stands" in job.ok("publish").err
    assert promoted(github, "dev") == "333333333333"


def test_a_rollback_does_not(github: GitHub) -> None:
    push(github, 1)
    job = push(github, 2)
    correct(job, release(1), "rollback")
    push(github, 3)
    job.ok("publish")
    assert promoted(github, "dev") == "111111111111"
    push(github, 4)
    assert "origin has the rollback of dev already" in job.ok("publish").err  # the same again, since its end was lost
    assert promoted(github, "dev") == "444444444444"


def test_a_correction_of_a_protected_branch_is_proposed(github: GitHub) -> None:
    push(github, 1)
    job = push(github, 2)
    correct(job, release(1), "rollback")
    protect(github)
    assert "the ledger of dev is corrected by a pull request instead; merge it" in job.ok("publish").err
    (pull,) = github.pull_requests()
    assert (pull["head"]["ref"], pull["title"]) == ("ledger/dev", "dev: rollback 1750000001-111111111111")
    assert promoted(github, "dev", "ledger/dev") == "111111111111"


def test_other_commits_are_not_the_pipeline_s_to_push(github: GitHub) -> None:
    job = github.job()
    for command in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "mine"]):
        (job.root / "README.md").write_text("mine")
        subprocess.run(["git", *command], cwd=job.root, check=True)
    result = job.run("publish")
    assert result.code == 1
    assert "mine is not the ledger's, and not pushed" in result.err


def test_changed_names_the_environments_that_render_otherwise(github: GitHub) -> None:
    before = github.git("rev-parse", "main").strip()
    job = push(github, 1)
    assert json.loads(job.ok("changed", "--since", before).out) == ["dev"]
    assert json.loads(job.ok("changed", "--since", "HEAD").out) == []
    assert json.loads(job.ok("changed", "--since", "0" * 40).out) == ["dev"]  # no other has a release
    assert json.loads(job.ok("changed", "staging", "--since", "").out) == ["staging"]
    assert "no environment 'stagin'; did you mean 'staging'?" in job.run("changed", "stagin").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dve", "--publish"], "no environment 'dve'; did you mean 'dev'?"),
        (["dev", "--release", "abcdefabcdef", "--publish"], "release abcdefabcdef is in no ledger of this clone"),
        (["staging", "--publish"], "dev has no release to promote"),
        (["dev", "--publish"], "no release yet: there is no build/release/release.json"),
        ([], "promote needs an environment"),
    ],
    ids=["no-such-environment", "no-such-release", "nothing-before-it", "no-candidate", "no-environment"],
)
def test_refuses(github: GitHub, arguments: list[str], message: str) -> None:
    result = github.job().run("promote", *arguments)
    assert result.code == 1
    assert result.err.startswith(f"error: {message}")
    assert github.git("branch", "--list").split() == ["*", "main"]
