"""What a cluster remembers may be gone, and what a return needs may be missing: both are known before anything is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from .environment import OVERLAY, Environment, label

Release = dict[str, Any]
SPOILT = {
    "deleted": None,
    "no JSON": {"served": "[{"},
    "not what belongs there": {"served": '[{"release": 7}]', "inventory": "[]"},
    "emptied": {"served": None, "inventory": None},
}


@pytest.fixture(scope="module")
def served(shared_dev: Environment, releases: dict[str, Release]) -> Environment:
    """`dev` with one pod, which has served `one` and then `two`."""
    shared_dev.patch("replicas", replicas=1)
    shared_dev.deploy(releases["one"])
    shared_dev.deploy(releases["two"])
    return shared_dev


def spoil(dev: Environment, data: dict[str, Any] | None) -> None:
    if data is None:
        dev.kubectl("delete", "configmap/deployments")
    else:
        dev.kubectl("patch", "configmap/deployments", "--type=merge", f"--patch={json.dumps({'data': data})}")


def remember(dev: Environment, *served: Release) -> None:
    revision = dev.fork.git("rev-parse", "HEAD").strip()
    lines = [{"release": label(r), "revision": revision, "action": "deploy", "time": "then"} for r in served]
    spoil(dev, {"served": json.dumps(lines)})


def generation(dev: Environment) -> int:
    return dev.get("deployment/serving")["metadata"]["generation"]


@pytest.mark.parametrize("defect", SPOILT)
def test_a_memory_that_somebody_has_spoilt_is_made_anew(
    served: Environment, releases: dict[str, Release], defect: str
) -> None:
    """What served before is known all the same: from git, and from what runs."""
    now, before = ("two", "one") if served.ledger()["id"] == releases["two"]["id"] else ("one", "two")
    spoil(served, SPOILT[defect])
    assert served.run("status", "dev").code == 0
    result = served.ok("rollback", "dev", "--reason", f"it is {defect}")
    assert "  memory     ConfigMap/deployments " in result.err
    served.serves(releases[before])
    data = served.get("configmap/deployments")["data"]
    assert [line["release"] for line in json.loads(data["served"])] == [label(releases[now]), label(releases[before])]
    assert "apps/v1 Deployment serving" in json.loads(data["inventory"])


def test_a_release_whose_image_is_lost_is_passed_by_and_none_is_brought_that_could_not_be_left(
    served: Environment, releases: dict[str, Release]
) -> None:
    one, two, lost = releases["one"], releases["two"], releases["missing"]
    served.promote(lost)
    served.promote_again(one)
    served.ok("deploy", "dev")
    remember(served, two, lost, one)
    result = served.ok("rollback", "dev", "--reason", "the newest that can be had")
    assert f"  passed by  release {label(lost)}: its image " in result.err
    served.serves(two)
    assert "cannot come back: its image " in served.refused("rollback", "dev", "--to", label(lost), "--reason", "it is")

    remember(served, two, lost)  # as if it were what serves
    served.promote_again(one)
    before = generation(served)
    error = served.refused("deploy", "dev")
    assert "what serves in dev now could not be put back: its image " in error
    assert "./pipeline deploy dev --without-return" in error
    assert generation(served) == before
    served.ok("deploy", "dev", "--without-return")
    served.serves(one)


def test_a_commit_that_could_not_be_made_is_known_before_anything_is_touched(
    served: Environment, releases: dict[str, Release]
) -> None:
    """That of a rollback, and that of the return which a deployment may need."""
    other = releases["one" if served.ledger()["id"] == releases["two"]["id"] else "two"]
    served.promote_again(other)
    root, before, head = served.fork.root, generation(served), served.fork.git("rev-parse", "HEAD")
    for file, expected in (
        (root / ".git/index.lock", "index.lock"),
        (root / OVERLAY / "replicas.yaml", "replicas.yaml"),
    ):
        content = file.read_text() if file.exists() else None
        file.write_text(f"{content or ''}# mine\n")
        assert expected in served.refused("rollback", "dev", "--reason", "at night")
        error = served.refused("deploy", "dev")
        assert f"what serves in dev now could not be put back: {file.relative_to(root)}" in error
        file.unlink() if content is None else file.write_text(content)
    assert (generation(served), served.fork.git("rev-parse", "HEAD")) == (before, head)
    assert not served.fork.git("status", "--porcelain", OVERLAY)
    served.ok("deploy", "dev")
    served.serves(other)


def test_todays_manifests_or_those_of_then(served: Environment, releases: dict[str, Release]) -> None:
    two, one = (
        releases[name]
        for name in (("two", "one") if served.ledger()["id"] == releases["one"]["id"] else ("one", "two"))
    )
    patch = {"metadata": {"annotations": {"of": "then"}}}
    served.patch("then", template=patch)
    served.promote_again(two)
    served.ok("deploy", "dev")
    served.patch("then", template={"metadata": {"annotations": {"of": "today"}}})
    served.promote_again(one)
    served.ok("deploy", "dev")
    for flags, expected in (([], "today"), (["--with-manifests"], "then")):
        served.ok("rollback", "dev", "--to", label(two), "--reason", "wrong", *flags)
        served.serves(two)
        template = served.get("deployment/serving")["spec"]["template"]
        assert template["metadata"]["annotations"]["of"] == expected
    assert "then" in Path(served.fork.root, OVERLAY, "then.yaml").read_text()
