"""server, executed: the tests of the model server are asked for, on the image that serving/Dockerfile names, and none may be missing.

Stood in for is `./pipeline test`, which would run a part of this suite in itself.
"""

from pathlib import Path

from tests.support.fork import Fork
from tests.workflows.act import GitHub

TEST = '''"""Stands in for the test suite, and says with what it was called"""

import os

PASSES_ON = True


def run(rest: list[str]) -> int:
    print("test", *rest, f"REQUIRE={os.environ['REQUIRE']}")
    return 0
'''


def test_the_official_image_is_asked_for(fork: Fork, tmp_path: Path) -> None:
    (fork.root / "scripts/test.py").write_text(TEST)
    fork.commit("stand in for the suite")
    run = GitHub(tmp_path / "github", fork).run("server", "pull_request", {"pull_request": {"number": 7}}).ok()
    assert "test --serving-image REQUIRE=docker,cluster" in run.log
