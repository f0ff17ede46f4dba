"""find: which release of this very code need not be made again."""

import os
from typing import Any

from tests.support.fork import run_verb
from tests.workflows.act import GitHub


def test_only_what_a_ledger_knows_and_the_registry_has_and_is_attested(built, registry, tmp_path) -> None:
    port = registry()
    fork = built(port)
    github = GitHub(tmp_path / "github", fork)
    job = github.job()

    def known() -> tuple[str, str]:
        output = tmp_path / "output"
        output.unlink(missing_ok=True)
        path = f"{os.path.dirname(__file__)}/../workflows/bin:{os.environ['PATH']}"
        variables = os.environ | job.variables | {"GITHUB_OUTPUT": str(output), "PATH": path}
        result = run_verb(fork.root, ("find",), variables)
        assert result.code == 0, result.err
        return output.read_text().splitlines()[1], result.err

    def attested(**defect: Any) -> None:
        digest = fork.read("k8s/overlays/dev/release.json")["image"]["digest"]
        record = {
            "subject": f"x@{digest}",
            "signer": "acme/Model/.github/workflows/release.yml",
            "ref": "refs/heads/main",
        }
        github.change(attestations=[record | {"predicate": "provenance"} | defect])

    assert "is not in the registry" in known()[1]
    fork.ok("push")
    assert "is in the registry, but as that in no ledger" in known()[1]
    fork.ok("promote", "dev")
    state, words = known()
    assert state == "false"
    assert "has no attestation" in words
    attested(ref="refs/heads/branch")
    assert known()[0] == "false"
    attested()
    pushed = fork.read("build/release/release.json")
    assert known()[0] == "true"
    assert fork.read("build/release/release.json") == pushed == fork.read("k8s/overlays/dev/release.json")
    fork.write_model(SLOPE="3.0")
    assert "is not in the registry" in known()[1]
    fork.write_model()
    assert known()[0] == "true"
    fork.edit("pyproject.toml", f"127.0.0.1:{port}/", "127.0.0.1:1/")  # nobody answers there
    state, words = known()
    assert state == "false"
    assert "is not known: 127.0.0.1:1/team/model:" in words
