"""release.json and the files it vouches for: every reader refuses what is missing, corrupt or foreign, before anything is touched."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fork import Fork

AGAIN = "./pipeline up, or ./pipeline train && ./pipeline evaluate && ./pipeline export"


@pytest.fixture(scope="module")
def exported(shared_fork: Fork) -> Fork:
    shared_fork.release()
    return shared_fork


def replace(old: str, new: str) -> Callable[[Path], None]:
    def change(release: Path) -> None:
        text = (release / "release.json").read_text()
        assert old in text
        (release / "release.json").write_text(text.replace(old, new))

    return change


BAD = {
    "missing": (lambda r: (r / "release.json").unlink(), "no release yet: there is no build/release/release.json"),
    "half a file": (
        lambda r: (r / "release.json").write_text('{"format": 1,'),
        "build/release/release.json is corrupt: ",
    ),
    "not even text": (
        lambda r: (r / "release.json").write_bytes(b"\xff\xfe\x00"),
        "build/release/release.json is corrupt: ",
    ),
    "of a later format": (
        replace('"format": 1', '"format": 2'),
        "build/release/release.json is not a release.json of format 1: data.format must be same as const definition: 1",
    ),
    "of another tool": (
        lambda r: (r / "release.json").write_text('{"name": "app"}'),
        "build/release/release.json is not a release.json of format 1: ",
    ),
    "with an unknown field": (
        replace('"format": 1', '"format": 1, "deploy_flag": 1'),
        "build/release/release.json is not a release.json of format 1: data must not contain {'deploy_flag'} properties",
    ),
    "tag in the place of a digest": (
        replace('"format": 1', '"format": 1, "image": {"name": "registry/model", "digest": "latest"}'),
        "build/release/release.json is not a release.json of format 1: data.image.digest must match pattern ^sha256:",
    ),
    "without examples": (
        replace('"examples": [', '"examples": [], "x": ['),
        "build/release/release.json is not a release.json of format 1: ",
    ),
    "file missing": (lambda r: next(r.rglob("variables.index")).unlink(), "variables/variables.index is missing"),
    "file changed": (
        lambda r: next(r.rglob("variables.data*")).write_bytes(b"0"),
        "variables/variables.data-00000-of-00001 differs from release.json",
    ),
    "file added": (
        lambda r: (next(r.rglob("variables")) / "extra").write_text(""),
        "variables/extra differs from release.json",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_deploy_refuses_a_release(exported: Fork, tmp_path: Path, defect: str) -> None:
    damage, message = BAD[defect]
    release = (exported.root / "build/release").resolve()
    whole = {path: path.read_bytes() for path in release.rglob("*") if path.is_file()}
    damage(release)
    try:
        result = exported.run("deploy", "local")
        assert result.code == 1
        assert message in result.err.splitlines()[0]
        assert AGAIN in result.err
        assert not (exported.root / "build/local/history.jsonl").exists()
    finally:
        for path in release.rglob("*"):
            if path.is_file() and path not in whole:
                path.unlink()
        for path, content in whole.items():
            path.write_bytes(content)
