"""security, executed with stand-ins for every scanner: each is given what it should look at. Off, it is read in test_promises.py.

Stood in for is `./pipeline lint --online`, which asks GitHub.
"""

import json
from pathlib import Path

from tests.support.fork import Fork
from tests.workflows.act import GitHub

IMAGE = {"name": "registry.example.com/model", "digest": f"sha256:{'1' * 64}"}
LINT = '''"""Stands in for the checks: says with what they were called"""

PASSES_ON = True


def run(rest: list[str]) -> int:
    print("lint", *rest)
    return 0
'''


def test_each_scanner_looks_at_what_it_should(fork: Fork, tmp_path: Path) -> None:
    fork.release()
    release = fork.read("build/release/release.json") | {"image": IMAGE}
    (fork.root / "build/release/release.json").write_text(json.dumps(release))
    fork.ok("promote", "dev")
    (fork.root / "scripts/lint.py").write_text(LINT)
    fork.commit("stand in for the checks")
    github = GitHub(tmp_path / "github", fork)
    run = github.run("security", "schedule", {}, variables={"SECURITY": "true"}).ok()
    jobs = {name for name, result in run.jobs.items() if result == "success"}
    assert jobs == {"plan", "image", "code", "scorecard"}
    assert "lint zizmor --online" in run.log
    assert [call["image"] for call in github.calls("anchore/scan-action")] == ["@".join(IMAGE.values())]
    assert [call["languages"] for call in github.calls("github/codeql-action/init")] == ["python, actions"]
