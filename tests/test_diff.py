"""diff --against: how the manifests of two revisions differ. Against a cluster: tests/cluster."""

from pathlib import Path

from tests.support.fork import Fork
from tests.test_promote import NAME, OVERLAY, push, release


def test_diff_against_a_revision_needs_no_cluster(tmp_path: Path) -> None:
    small = Fork(tmp_path / "fork")
    push(small, release(1))
    small.ok("promote", "dev")
    small.edit(f"{OVERLAY}/replicas.yaml", "replicas: 1", "replicas: 4")
    small.commit("four")
    lines = small.ok("diff", "dev", "--against", "HEAD~2").out.splitlines()
    assert lines == [
        "Deployment/serving spec.replicas: 1 → 4",
        f"Deployment/serving spec.template.spec.containers[serving].image: serving → {NAME}@sha256:{'1' * 64}",
    ]
    assert small.ok("diff", "dev", "--against", "HEAD").out == ""
    assert "this clone has no revision 'yesterday'" in small.run("diff", "dev", "--against", "yesterday").err
