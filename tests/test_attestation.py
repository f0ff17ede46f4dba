"""attestation: only what this fork's own release workflow built on main is deployed, where GitHub makes attestations at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from ruamel.yaml import YAML

from tests.conftest import requires
from tests.support.fork import Fork
from tests.test_promote import NAME, release
from tests.workflows.act import GitHub, Job

GOOD = {
    "subject": f"{NAME}@sha256:{'1' * 64}",
    "signer": "acme/Model/.github/workflows/release.yml",
    "ref": "refs/heads/main",
    "predicate": "provenance",
}


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> tuple[GitHub, Job]:
    """A job in a fork whose dev has a release."""
    folder = tmp_path_factory.mktemp("attestation")
    fork = Fork(folder / "fork")
    (fork.root / "build/release").mkdir(parents=True)
    (fork.root / "build/release/release.json").write_text(json.dumps(release(1)))
    fork.ok("promote", "dev")
    github = GitHub(folder / "github", fork)
    return github, github.job()


def check(
    promoted: tuple[GitHub, Job], private: bool, attestations: list[dict[str, Any]], wish: str = "where-possible"
):
    github, job = promoted
    document = github.read()
    github.write(document | {"attestations": attestations, "repository": document["repository"] | {"private": private}})
    path = job.root / "pyproject.toml"
    before = path.read_text()
    path.write_text(before.replace('attestation = "where-possible"', f'attestation = "{wish}"'))
    try:
        return job.run("attestation", "dev")
    finally:
        path.write_text(before)


def test_of_ours_is_let_pass(promoted: tuple[GitHub, Job]) -> None:
    result = check(promoted, private=False, attestations=[GOOD])
    assert result.code == 0
    assert "release 111111111111 was built by acme/Model/.github/workflows/release.yml on main" in result.err


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
@pytest.mark.parametrize(
    "defect",
    [
        {"signer": "mallory/Model/.github/workflows/release.yml"},
        {"signer": "acme/Model/.github/workflows/other.yml"},
        {"ref": "refs/heads/branch"},
        {"tampered": True},
    ],
    ids=["another-repository", "another-workflow", "another-branch", "tampered"],
)
def test_of_others_never(promoted: tuple[GitHub, Job], defect: dict[str, Any], private: bool) -> None:
    result = check(promoted, private, [GOOD | defect])
    assert result.code == 1
    assert result.err.startswith("error: release 111111111111 was not built by this repository: ")


@pytest.mark.parametrize(
    ("private", "wish", "message"),
    [
        (False, "where-possible", "error: release 111111111111 has no attestation: "),
        (True, "required", "error: release 111111111111 has no attestation: "),
        (
            True,
            "where-possible",
            "release 111111111111 has none: attestations of a private repository need GitHub Enterprise",
        ),
    ],
    ids=["public", "private-and-required", "private"],
)
def test_of_nobody(promoted: tuple[GitHub, Job], private: bool, wish: str, message: str) -> None:
    of_another = GOOD | {"subject": f"{NAME}@sha256:{'2' * 64}"}
    result = check(promoted, private, [of_another], wish)
    assert result.code == (0 if private and wish == "where-possible" else 1)
    assert message in result.err


def test_nothing_is_asked_of_an_environment_without_a_release(promoted: tuple[GitHub, Job]) -> None:
    assert "skipped    staging has no release yet" in promoted[1].ok("attestation", "staging").err


def test_a_service_that_is_away_is_no_permission(promoted: tuple[GitHub, Job], tmp_path: Path) -> None:
    github, job = promoted
    github.change(fail=[["VERIFY", 1, "Post https://rekor.sigstore.dev: certificate has expired"]])
    result = job.run("attestation", "dev")
    github.change(fail=[])
    assert result.code == 1
    assert "certificate has expired" in result.err


@pytest.mark.parametrize(
    "words",
    ["HTTP 403: Resource not accessible by integration", "Feature not available for the acme organization"],
    ids=["403", "not-available"],
)
def test_a_service_that_the_plan_lacks_is_not_there(promoted: tuple[GitHub, Job], words: str) -> None:
    github, _ = promoted
    for private, expected in ((True, 0), (False, 1)):
        github.change(fail=[["VERIFY", 1, words]])
        result = check(promoted, private, [])
        assert result.code == expected
        assert ("has none: " if private else "has no attestation: ") in result.err


@pytest.mark.parametrize("controller", ["kyverno", "policy-controller"])
def test_a_policy_names_this_fork_s_own_workflow_and_is_what_the_controller_takes(
    promoted: tuple[GitHub, Job], controller: str
) -> None:
    text = promoted[1].ok("attestation", "--policy", controller).out
    policy = YAML(typ="safe").load(text)
    assert (
        text.count("https://github.com/acme/Model/.github/workflows/release.yml@refs/heads/main") == 1
        and "$" not in text
    )
    linter = shutil.which("actionlint")
    crds = Path(linter).parent.joinpath("crds").glob("*.yaml") if linter else []
    found = [crd for path in crds if names(crd := YAML(typ="safe").load(path), policy)]
    if not found:
        requires("tools", f"no definition of {policy['kind']} is beside actionlint: .ci/tools brings it")
    (version,) = [one for one in found[0]["spec"]["versions"] if one["name"] == policy["apiVersion"].partition("/")[2]]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fastjsonschema.compile(closed(schema))(policy["spec"])


def names(crd: dict[str, Any], manifest: dict[str, Any]) -> bool:
    return (crd["spec"]["group"], crd["spec"]["names"]["kind"]) == (
        manifest["apiVersion"].split("/")[0],
        manifest["kind"],
    )


def closed(schema: Any, key: str = "") -> Any:
    """The schema, but refusing what it does not name: an API server would drop that in silence."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: closed(value, name) for name, value in schema.items() if not (key != "properties" and name == "format")
    }
    is_object = key != "properties" and schema.get("type") == "object" and schema.get("properties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields")
    return found | ({"additionalProperties": False} if is_object and not is_open else {})


def test_an_unknown_policy_is_refused(promoted: tuple[GitHub, Job]) -> None:
    error = promoted[1].run("attestation", "--policy", "kivverno").err
    assert error.startswith("error: no policy 'kivverno'; did you mean 'kyverno'?\n")
