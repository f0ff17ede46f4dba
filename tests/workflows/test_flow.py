"""From a push to production and back, by the workflows themselves, executed by act: the steps of this module build on one another.

Where act is not GitHub, this proves nothing, and test_promises.py reads the files instead: filters of branches and paths, `permissions`,
`concurrency` (two runs at once are here one after the other, with origin ahead of the first), protection and variables of environments (act
has one set of variables and secrets for all), OIDC and so the logins to the clouds, choices and required inputs of a dispatch (a verb
refuses what is wrong), job-level timeouts, and that a token's push starts no workflow. GitHub's API, `gh` and every third party's action
are stand-ins: bin/gh, actions.py; that GitHub's own accept what is sent to them was not seen.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import docker
import pytest

from .act import Run
from .conftest import World

DEV = "k8s/overlays/dev"


@dataclass
class Story:
    """What one step leaves for the next."""

    world: World
    one: dict[str, Any] = field(default_factory=dict)
    two: dict[str, Any] = field(default_factory=dict)
    first: str = ""  # the commit of the first push
    second: str = ""

    def serves(self, environment: str, release: dict[str, Any]) -> None:
        """The ledger on origin and the cluster agree on `release`."""
        assert self.world.ledger(environment)["id"] == release["id"]
        assert self.world.serves(environment) == image(release)

    def edit_ledger(self, release: dict[str, Any], subject: str) -> tuple[str, str]:
        """A commit by hand that brings `release` to dev. Returns main before and after."""
        fork, github = self.world.fork, self.world.github
        fork.git("fetch", "-q", "origin")
        fork.git("reset", "-q", "--hard", "origin/main")
        (fork.root / DEV / "release.json").write_text(json.dumps(release, indent=2) + "\n")
        path = fork.root / DEV / "kustomization.yaml"
        text = re.sub(r"digest: \S+", f"digest: {release['image']['digest']}", path.read_text())
        path.write_text(re.sub(r"newName: \S+", f"newName: {release['image']['name']}", text))
        fork.commit(subject)
        return github.push()

    def deploy(self, change: tuple[str, str]) -> Run:
        return self.world.run("deploy", "push", {"before": change[0], "after": change[1]})


@pytest.fixture(scope="module")
def story(world: World) -> Story:
    return Story(world)


def image(release: dict[str, Any]) -> str:
    return f"{release['image']['name']}@{release['image']['digest']}"


def attested(story: Story, release: dict[str, Any]) -> dict[str, Any]:
    """`release`, with the attestation that the release workflow would have made."""
    document = story.world.github.read()
    record = next(a for a in document["attestations"] if a["predicate"] == "provenance")
    story.world.github.change(attestations=[*document["attestations"], record | {"subject": image(release)}])
    return release


def rebuilt(release: dict[str, Any], engine: docker.DockerClient, identity: str, lines: str = "") -> dict[str, Any]:
    """`release` by another name, and so by another digest."""
    name = release["image"]["name"]
    engine.images.pull(image(release))
    container = engine.containers.create(image(release))
    try:
        made = container.commit(name, identity[:12], changes=[f"LABEL rebuilt={identity}", *filter(None, [lines])])
    finally:
        container.remove()
    pushed = engine.images.push(name, identity[:12], stream=True, decode=True)
    digest = next(line["aux"]["Digest"] for line in pushed if "Digest" in line.get("aux", {}))
    engine.images.remove(made.id, force=True)
    return release | {"id": identity.ljust(64, "0"), "image": {"name": name, "digest": digest}}


def test_a_push_while_another_arrives(story: Story) -> None:
    """Trained, judged, built, tested, pushed, attested, promoted and deployed, on top of the push that came meanwhile."""
    world = story.world
    story.first = world.github.git("rev-parse", "main").strip()
    world.fork.edit("README.md", "# Fork it", "# Fork me")
    world.fork.commit("Fork me")
    story.second = world.github.push()[1]
    run = world.run("release", "push", revision=story.first).ok()
    assert {run.jobs[job] for job in ("find", "train", "image", "promote", "deploy")} == {"success"}
    story.one = world.ledger("dev")
    story.serves("dev", story.one)
    assert world.history("dev")[0] == f"dev: promote {story.one['version']}-{story.one['id'][:12]}"
    assert story.second in world.github.git("log", "--format=%H", "main")
    assert "# instant: all gates passed" in run.summary
    subjects = {(a["subject"], a["predicate"]) for a in world.github.read()["attestations"]}
    assert subjects == {(image(story.one), "provenance"), (image(story.one), "sbom")}


def test_staging_is_proposed_with_its_consequences(story: Story) -> None:
    world = story.world
    (pull,) = world.github.pull_requests()
    assert (pull["head"]["ref"], pull["base"]["ref"]) == ("promote/staging", "main")
    assert world.ledger("staging", "promote/staging") == story.one
    changed = world.github.git("diff", "--name-only", "main...promote/staging").split()
    assert changed == [f"k8s/overlays/staging/{name}" for name in ("kustomization.yaml", "ledger.json", "release.json")]
    assert "| max_absolute_error | – | 0 | <= 0.001 |" in pull["body"]
    head = world.github.git("rev-parse", "promote/staging").strip()
    assert {"sha": head, "state": "success", "context": "ci"}.items() <= world.github.read()["statuses"][-1].items()


def test_the_push_that_came_meanwhile_trains_nothing(story: Story) -> None:
    """Its code decides the same answers: the release is in the registry."""
    run = story.world.run("release", "push", revision=story.second).ok()
    assert run.jobs.get("train", "skipped") == run.jobs.get("image", "skipped") == "skipped"
    assert run.jobs["deploy"] == "success"
    assert "is in the registry already: nothing is trained or built again" in run.summary
    story.serves("dev", story.one)
    assert len(story.world.github.pull_requests()) == 1


def test_merged_staging_serves_the_same_digest(story: Story) -> None:
    world = story.world
    story.deploy(world.github.merge(world.github.pull_requests()[0]["number"])).ok()
    story.serves("staging", story.one)
    assert [pull["head"]["ref"] for pull in world.github.pull_requests()] == ["promote/production"]


def test_a_bad_model_is_refused(story: Story) -> None:
    world = story.world
    world.fork.git("reset", "-q", "--hard", "origin/main")
    world.fork.edit("model/instant.py", "np.array([0.0]", "np.array([0.5]")
    world.fork.commit("worse")
    world.github.push()
    before = world.history("dev")
    run = world.run("release", "push").failed()
    assert run.jobs["train"] == "failure"
    assert "deploy" not in run.jobs or run.jobs["deploy"] == "skipped"
    assert any("instant is refused: max_absolute_error is 0.5" in line for line in run.annotations)
    assert "# instant: REFUSED" in run.summary
    assert world.history("dev") == before
    story.serves("dev", story.one)
    world.fork.git("revert", "--no-edit", "HEAD")
    world.github.push()


def test_a_push_of_an_overlay_deploys_that_environment(story: Story, engine: docker.DockerClient) -> None:
    story.two = attested(story, rebuilt(story.one, engine, "2" * 12))
    run = story.deploy(story.edit_ledger(story.two, "By hand")).ok()
    story.serves("dev", story.two)
    story.serves("staging", story.one)
    assert '::set-output:: environments=["dev"]' in run.log
    heads = {pull["head"]["ref"]: pull["title"] for pull in story.world.github.pull_requests()}
    assert "222222222222" in heads["promote/staging"]


def test_rolled_back_by_dispatch(story: Story) -> None:
    """With a GitHub App, whose token may push where the workflow's own may not."""
    inputs = {"environment": "dev", "release": "", "reason": "wrong for small x"}
    variables = {"CLUSTER": "kubeconfig", "PIPELINE_APP_ID": "7"}
    keys = {"KUBECONFIG": story.world.kubeconfig, "PIPELINE_APP_KEY": "a key"}
    story.world.run("rollback", "workflow_dispatch", inputs=inputs, variables=variables, secrets=keys).ok()
    (app,) = story.world.github.calls("actions/create-github-app-token")
    assert (app["client-id"], app["private-key"]) == ("7", "a key")
    story.serves("dev", story.one)
    assert story.world.history("dev")[0].startswith("dev: rollback ")
    assert "Reason: wrong for small x" in story.world.github.git("log", "-1", "--format=%B", "main")


def test_a_failing_deployment_returns_and_corrects_the_ledger(story: Story, engine: docker.DockerClient) -> None:
    crashing = attested(story, rebuilt(story.one, engine, "3" * 12, 'ENTRYPOINT ["/bin/false"]'))
    run = story.deploy(story.edit_ledger(crashing, "Crashes")).failed()
    assert any("release" in line and "serves again" in line for line in run.annotations)
    story.serves("dev", story.one)
    assert story.world.history("dev")[0].startswith("dev: return ")
    assert all("333333333333" not in pull["title"] for pull in story.world.github.pull_requests())


def test_a_dispatch_that_is_wrong_changes_nothing(story: Story) -> None:
    before = story.world.github.git("rev-parse", "main")
    inputs = {"environment": "dev", "release": "abcdefabcdef", "reason": "r"}
    run = story.world.run("rollback", "workflow_dispatch", inputs=inputs).failed()
    assert any("release abcdefabcdef is in no ledger" in line for line in run.annotations), run.log
    assert story.world.github.git("rev-parse", "main") == before
    story.serves("dev", story.one)


def test_an_image_that_others_built_is_not_deployed(story: Story, engine: docker.DockerClient) -> None:
    """Its attestation was tampered with."""
    foreign = attested(story, rebuilt(story.one, engine, "4" * 12))
    document = story.world.github.read()
    document["attestations"][-1]["signer"] = "mallory/Model/.github/workflows/release.yml"
    story.world.github.write(document)
    run = story.deploy(story.edit_ledger(foreign, "Foreign")).failed()
    assert any("was not built by this repository" in line for line in run.annotations), run.log
    assert story.world.serves("dev") == image(story.one)


def test_promoted_by_dispatch_to_a_protected_branch(story: Story) -> None:
    """The branch takes no push: it is proposed, and nothing is deployed before somebody merges it."""
    world = story.world
    hook = world.github.origin / "hooks/update"
    hook.write_text(
        '#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo "GH006: Protected branch update failed"; exit 1; }\n'
    )
    hook.chmod(0o755)
    try:
        inputs = {"environment": "dev", "release": story.two["id"][:12], "reason": "it was right after all"}
        run = world.run("promote", "workflow_dispatch", inputs=inputs).ok()
    finally:
        hook.unlink()
    assert any("takes no push from here" in line for line in run.annotations)
    assert "promote/dev" in {pull["head"]["ref"] for pull in world.github.pull_requests()}
    assert "deploy" not in run.jobs or run.jobs["deploy"] == "skipped"
    assert world.serves("dev") == image(story.one)


def test_an_unconfigured_private_fork_is_green(story: Story) -> None:
    """No variable is set: what is missing is said, and nothing fails. Its release is in the registry, without an attestation."""
    world = story.world
    document = world.github.read()
    world.github.write(document | {"attestations": [], "repository": document["repository"] | {"private": True}})
    run = world.run("release", "push", variables={}, secrets={}).ok()
    assert run.jobs["deploy"] == "success"
    missing = "set the variable CLUSTER of the environment dev in the settings on GitHub"
    assert any(missing in line for line in run.annotations), run.log
    assert any("need GitHub Enterprise Cloud" in line for line in run.annotations)
    assert world.serves("dev") == image(story.one)
