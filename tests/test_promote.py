"""promote, history and diff --against: the ledger, without any cluster."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.ledger import kustomization
from tests.support.fork import Fork

OVERLAY = "k8s/overlays/dev"
NAME, DIGEST = "registry.example.com/models", f"sha256:{'a' * 64}"


def release(number: int, **fields: Any) -> dict[str, Any]:
    """A release.json as `push` leaves it."""
    example = {"inputs": {"x": [[1.0]]}, "outputs": {"y": [[2.0]]}, "tolerance": 0.1}
    tensors = {"dtype": "float32", "shape": [None, 1]}
    model = {
        "name": "instant",
        "module": "instant",
        "data": "0" * 64,
        "files": {"saved_model.pb": "0" * 64},
        "metrics": {},
        "gates": [{"metric": "error", "bound": "<= 1", "value": 0.0}],
        "signature": {"inputs": {"x": tensors}, "outputs": {"y": tensors}},
        "examples": [example],
    }
    document = {
        "format": 1,
        "id": f"{number:x}" * 64,
        "version": 1_750_000_000 + number,
        "commit": None,
        "dirty": False,
        "created": "2025-06-15T15:06:40+00:00",
        "tensorflow": "2.20.0",
        "image": {"name": NAME, "digest": f"sha256:{f'{number:x}' * 64}"},
        "models": [model],
    }
    return document | fields


def push(fork: Fork, document: dict[str, Any]) -> dict[str, Any]:
    (fork.root / "build/release").mkdir(parents=True, exist_ok=True)
    (fork.root / "build/release/release.json").write_text(json.dumps(document))
    return document


@pytest.fixture
def small(tmp_path: Path) -> Fork:
    return Fork(tmp_path / "fork")


def test_the_nodes_follow_the_architectures_of_the_release(small: Fork) -> None:
    """An overlay without the file stays without it."""
    both = {"name": NAME, "digest": DIGEST, "architectures": ["amd64", "arm64"]}
    (small.root / "k8s/overlays/staging/architectures.yaml").unlink()
    small.edit("k8s/overlays/staging/kustomization.yaml", "  - path: architectures.yaml\n", "")
    small.commit("staging runs anywhere")
    for number, fields, values in ((1, {}, "[amd64]"), (2, {"image": both}, "[amd64, arm64]"), (3, {}, "[amd64]")):
        push(small, release(number, **fields))
        small.ok("promote", "dev")
        assert f"values: {values}\n" in small.git("show", f"HEAD:{OVERLAY}/architectures.yaml")
        small.ok("promote", "staging")
    assert not (small.root / "k8s/overlays/staging/architectures.yaml").exists()


def test_one_commit_that_changes_the_digest_and_the_release(small: Fork) -> None:
    before = (small.root / OVERLAY / "kustomization.yaml").read_text()
    push(small, release(1))
    small.ok("promote", "dev", "--reason", "it is better")
    assert (small.root / OVERLAY / "kustomization.yaml").read_text() == (
        f"{before}images:\n  - name: serving\n    newName: {NAME}\n    digest: sha256:{'1' * 64}\n"
    )
    changed = small.git("show", "--name-only", "--format=%s", "HEAD").split("\n")
    assert changed[0] == "dev: promote 1750000001-111111111111"
    assert changed[2:5] == [f"{OVERLAY}/{name}" for name in ("kustomization.yaml", "ledger.json", "release.json")]
    assert small.git("status", "--porcelain") == ""
    small.ok("history", "dev", "--json", "history.json")
    assert [(e["action"], e["release"], e["outcome"], e["reason"]) for e in small.read("history.json")][-1] == (
        "promote",
        "1750000001-111111111111",
        "promoted",
        "it is better",
    )


def test_a_kustomization_of_the_other_name(small: Fork) -> None:
    small.git("mv", f"{OVERLAY}/kustomization.yaml", f"{OVERLAY}/kustomization.yml")
    small.commit("another name")
    push(small, release(1))
    small.ok("promote", "dev")
    assert f"digest: sha256:{'1' * 64}\n" in (small.root / OVERLAY / "kustomization.yml").read_text()
    assert not (small.root / OVERLAY / "kustomization.yaml").exists()
    assert small.ok("diff", "dev", "--against", "HEAD").out == ""
    small.ok("promote", "staging")


def test_twice_commits_once(small: Fork) -> None:
    push(small, release(1))
    small.ok("promote", "dev")
    head = small.git("rev-parse", "HEAD")
    assert "dev has release 111111111111 already: nothing to commit" in small.ok("promote", "dev").err
    assert small.git("rev-parse", "HEAD") == head


def test_each_environment_takes_what_the_one_before_it_has(small: Fork) -> None:
    assert "dev has no release to promote" in small.run("promote", "staging").err
    push(small, release(1))
    small.ok("promote", "dev")
    push(small, release(2))
    small.ok("promote", "staging")
    assert small.read("k8s/overlays/staging/release.json")["id"] == "1" * 64
    small.ok("promote", "production", "--from", "candidate")
    assert small.read("k8s/overlays/production/release.json")["id"] == "2" * 64


def test_what_else_is_staged_or_edited_stays_out_of_the_commit(small: Fork) -> None:
    small.edit("README.md", "#", "##")
    small.git("add", "README.md")
    push(small, release(1))
    small.ok("promote", "dev")
    assert small.git("status", "--porcelain") == "M  README.md\n"


def test_an_edit_of_the_overlay_that_is_not_committed_is_refused(small: Fork) -> None:
    push(small, release(1))
    small.edit(f"{OVERLAY}/replicas.yaml", "replicas: 1", "replicas: 4")
    assert f"{OVERLAY}/replicas.yaml has changes that are not committed" in small.run("promote", "dev").err


def test_a_promotion_killed_before_its_commit_goes_on(small: Fork) -> None:
    push(small, release(1))
    small.ok("promote", "dev")
    small.git("reset", "--soft", "HEAD~1")
    small.git("restore", "--staged", OVERLAY)
    small.ok("promote", "dev")
    assert small.git("status", "--porcelain") == ""


def test_a_release_that_was_not_pushed_is_refused(small: Fork) -> None:
    document = release(1)
    del document["image"]
    push(small, document)
    assert small.run("promote", "dev").err == "error: release 111111111111 is in no registry\n  next: ./pipeline push\n"


def test_an_environment_that_does_not_exist(small: Fork) -> None:
    result = small.run("promote", "prodction")
    assert result.err.splitlines()[0] == "error: no environment 'prodction'; did you mean 'production'?"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# top\nresources: [a] # why\n",
            "# top\nresources: [a] # why\nimages:\n  - name: serving\n    newName: N\n    digest: D\n",
        ),
        ("resources: [a]", "resources: [a]\nimages:\n  - name: serving\n    newName: N\n    digest: D\n"),
        ("images: []\nresources: [a]\n", "resources: [a]\nimages:\n  - name: serving\n    newName: N\n    digest: D\n"),
        (
            "images:\n- name: other\n  digest: x   # kept\nnamespace: 'a'\n",
            "images:\n- name: serving\n  newName: N\n  digest: D\n- name: other\n  digest: x   # kept\nnamespace: 'a'\n",
        ),
        (
            "images:\n    - digest: 'old'  # by promote\n      # the name\n      name:   serving\n      newName: \"old\"\n",
            "images:\n    - digest: 'D'  # by promote\n      # the name\n      name:   serving\n      newName: \"N\"\n",
        ),
        (
            "images: [{name: serving, newName: o, digest: d}] # x\n",
            "images: [{name: serving, newName: N, digest: D}] # x\n",
        ),
        ("images:\n  - name: serving\n    newTag: v1\n", "images:\n  - name: serving\n    newName: N\n    digest: D\n"),
        (
            "images:\n  - name: serving # s\n    newTag: v1\n    newName: o\n",
            "images:\n  - name: serving # s\n    digest: D\n    newName: N\n",
        ),
    ],
    ids=[
        "no-images",
        "no-newline",
        "empty-images",
        "another-image",
        "odd-order-and-quotes",
        "flow-style",
        "tag",
        "tag-and-name",
    ],
)
def test_every_other_byte_of_the_kustomization_stays(before: str, after: str) -> None:
    after = after.replace("N\n", f"{NAME}\n").replace("D\n", f"{DIGEST}\n")
    for short, long in (
        ("'D'", f"'{DIGEST}'"),
        ('"N"', f'"{NAME}"'),
        ("newName: N,", f"newName: {NAME},"),
        ("D}", f"{DIGEST}}}"),
    ):
        after = after.replace(short, long)
    images = {"serving": (NAME, DIGEST)}
    written = kustomization.with_images(before, "kustomization.yaml", images)
    assert written == after
    assert kustomization.with_images(written, "kustomization.yaml", images) == written
