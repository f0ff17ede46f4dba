"""A ledger whose history was rewritten past a rollback: the environment remembers, and its next deployment asks for a reason."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import stage
from tests.support.fork import CONTEXT, Fork
from tests.test_promote import OVERLAY, release

ONE, TWO = "1750000001-111111111111", "1750000002-222222222222"


class Staged:
    """A copy of `template`, with a folder as the cluster of `dev`."""

    def __init__(self, template: Fork, folder: Path):
        self.folder, self.fork = folder, template.copy(folder / "fork")
        (folder / "cluster").mkdir()
        for file in (template.root / "cluster").iterdir():
            (folder / "cluster" / file.name).write_bytes(file.read_bytes())

    def act(self, verb: str, **arguments: Any) -> tuple[int, str]:
        return act(self.fork, self.folder / "cluster", verb, **arguments)

    def clone(self, *options: str) -> None:
        root = self.folder / "clone"
        subprocess.run(["git", "clone", "-q", *options, f"file://{self.fork.root}", root], check=True)
        (root / ".venv").symlink_to(self.fork.root / ".venv")
        self.fork.root = root


def act(fork: Fork, cluster: Path, verb: str, **arguments: Any) -> tuple[int, str]:
    process = CONTEXT.Process(target=stage.act, args=(str(fork.root), str(cluster), [], None, verb, arguments))
    process.start()
    process.join()
    return process.exitcode or 0, (cluster / "output").read_text()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """Release 1, then 2 (promoted with a reason), then rolled back: three commits of the ledger."""
    fork = Fork(tmp_path_factory.mktemp("rewritten") / "fork")
    cluster = fork.root / "cluster"
    cluster.mkdir()
    (fork.root / ".git/info/exclude").write_text("/cluster\n")
    for verb, arguments in [
        ("promote", {"document": release(1), "reason": ""}),
        ("deploy", {}),
        ("promote", {"document": release(2), "reason": "it is better"}),
        ("deploy", {}),
        ("rollback", {"reason": "too slow"}),
    ]:
        code, output = act(fork, cluster, verb, **arguments)
        assert code == 0, output
    return fork


def promote_anew(staged: Staged) -> None:
    """As the workflow `release` does, which gives no reason."""
    assert staged.act("promote", document=release(2), reason="")[0] == 0


REWRITES: dict[str, Callable[[Staged], Any]] = {
    "the rollback dropped": lambda s: s.fork.git("reset", "-q", "--hard", "HEAD~1"),
    "the promotion dropped, too": lambda s: (s.fork.git("reset", "-q", "--hard", "HEAD~2"), promote_anew(s)),
    "all dropped, and both promoted anew": lambda s: (
        s.fork.git("reset", "-q", "--hard", "HEAD~3"),
        s.act("promote", document=release(1), reason=""),
        promote_anew(s),
    ),
    "the rollback dropped by a rebase": lambda s: (
        s.fork.edit("README.md", "#", "##"),
        s.fork.commit("later"),
        s.fork.git("rebase", "-q", "--onto", "HEAD~2", "HEAD~1"),
    ),
    "dropped and reworded": lambda s: (
        s.fork.git("reset", "-q", "--hard", "HEAD~1"),
        s.fork.git("commit", "-q", "--amend", "--reset-author", "-m", "reworded"),
    ),
    "dropped, and one commit of all": lambda s: (
        s.fork.git("reset", "-q", "--hard", "HEAD~1"),
        s.fork.git("checkout", "-q", "--orphan", "new"),
        s.fork.git("commit", "-q", "-m", "all of it"),
    ),
    "dropped, and cloned without its history": lambda s: (
        s.fork.git("reset", "-q", "--hard", "HEAD~1"),
        s.clone("--depth=1"),
    ),
    "dropped, and the overlay edited": lambda s: (
        s.fork.git("reset", "-q", "--hard", "HEAD~1"),
        s.fork.edit(f"{OVERLAY}/kustomization.yaml", "components: []", "components: [../../components/gpu]"),
        s.fork.commit("A GPU"),
    ),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_release_that_was_rolled_back_stays_refused(template: Fork, tmp_path: Path, rewrite: str) -> None:
    staged = Staged(template, tmp_path)
    REWRITES[rewrite](staged)
    code, output = staged.act("deploy")
    assert code == 1
    assert (
        f"error: release {TWO} was rolled back in dev (too slow), and no commit of the ledger says so any more"
        in output
    )
    assert f'next: ./pipeline rollback dev --to {ONE} --reason "…" says what serves' in output
    assert json.loads((tmp_path / "cluster/running.json").read_text()) == ONE
    assert staged.act("promote", document=release(2), reason="it was the network")[0] == 0
    code, output = staged.act("deploy")
    if "could not be put back: release 1750000001-111111111111 is in no ledger of this clone" in output:
        return  # what is lost besides, and told
    assert code == 0, output
    assert json.loads((tmp_path / "cluster/running.json").read_text()) == TWO
    assert staged.act("deploy")[0] == 0


def test_the_ledger_can_say_again_what_serves(template: Fork, tmp_path: Path) -> None:
    staged = Staged(template, tmp_path)
    staged.fork.git("reset", "-q", "--hard", "HEAD~1")
    assert staged.act("rollback", reason="as it was")[0] == 0
    assert staged.fork.read(f"{OVERLAY}/release.json")["version"] == 1_750_000_001
    assert staged.act("deploy")[0] == 0


WANTED: dict[str, Callable[[Staged], Any]] = {
    "a promotion with a reason": lambda s: s.act("promote", document=release(2), reason="the network"),
    "a revert of the rollback": lambda s: s.fork.git("revert", "--no-edit", "HEAD"),
}


@pytest.mark.parametrize("way", WANTED)
def test_what_is_wanted_again_is_deployed(template: Fork, tmp_path: Path, way: str) -> None:
    staged = Staged(template, tmp_path)
    WANTED[way](staged)
    code, output = staged.act("deploy")
    assert code == 0, output
