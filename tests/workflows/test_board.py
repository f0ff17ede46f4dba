"""board, executed: off until its variable turns it on; then the page of the whole history is what Pages is given."""

from pathlib import Path

from tests.support.fork import Fork
from tests.workflows.act import GitHub


def test_the_ledger_is_published_once_pages_is_on(tmp_path: Path) -> None:
    github = GitHub(tmp_path / "github", Fork(tmp_path / "fork"))
    github.job().ok("board", "--dispatch")
    assert github.read()["dispatches"] == [{"workflow": "board.yml", "ref": "main"}], "as deploy and rollback do"
    assert "success" not in github.run("board", "workflow_dispatch").ok().jobs.values()
    run = github.run("board", "workflow_dispatch", variables={"PAGES": "true"}).ok()
    assert run.jobs == {"board": "success"} and "build/board/index.html" in run.log
    (uploaded,), (published,) = (github.calls(f"actions/{name}") for name in ("upload-pages-artifact", "deploy-pages"))
    assert (uploaded["path"], uploaded["name"]) == ("build/board", published["artifact_name"])
