"""`dev` with a folder in the place of its cluster: what git says of it is real, and a verb can be killed at any program that it starts."""

import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.environments import answers, delivery, returning, state
from scripts.environments.cluster import Cluster
from scripts.environments.memory import Memory
from scripts.environments.refusals import Failed
from scripts.environments.target import Target
from scripts.ledger import entries, history, promotion
from scripts.ledger.entries import Entry
from scripts.release.releases import Release
from scripts.workspace import process
from scripts.workspace.errors import YourTurn

REFUSED = 2  # the exit code of a promotion that needs a reason


class Stage(Cluster):
    def __init__(self, folder: Path, bad: list[str]):
        super().__init__("dev", "")
        self.place, self.bad = folder, bad

    @contextmanager
    def exclusively(self, verb: str) -> Generator[None]:
        yield

    def remembered(self) -> Memory:
        return Memory(**self._read("memory.json", {}))

    def remember(self, remembered: Memory) -> None:
        self._write("memory.json", vars(remembered))

    def prepare(self, target: Target) -> None:
        """Nothing is rendered: what it takes to is tested elsewhere."""

    def apply(self, target: Target) -> None:
        self._write("running.json", target.release.label)
        if target.release.name in self.bad:
            raise Failed(f"release {target.release.name} crashes", "./pipeline status dev")

    def settle(self, target: Target) -> None:
        pass

    def running(self) -> str | None:
        return self._read("running.json", None)

    def drift(self) -> list[str]:
        return []

    def obstacle(self, target: Target) -> str | None:
        return None

    def touched(self) -> bool:
        return True

    def _read(self, name: str, otherwise: Any) -> Any:
        path = self.place / name
        return json.loads(path.read_text()) if path.exists() else otherwise

    def _write(self, name: str, document: Any) -> None:
        partial = self.place / f"{name}.partial"
        partial.write_text(json.dumps(document))
        partial.replace(self.place / name)


def act(root: str, folder: str, bad: list[str], kill_at: int | None, verb: str, arguments: dict[str, Any]) -> None:
    """Runs one verb in the checkout `root`, in this process; SIGKILL before it starts its `kill_at`-th program. Exits."""
    os.chdir(root)
    with (Path(folder) / "output").open("w") as output:
        os.dup2(output.fileno(), 1), os.dup2(output.fileno(), 2)
    _kill_at(kill_at)
    answers.ask = lambda environment, release: ([], 1)
    try:
        code = VERBS[verb](Stage(Path(folder), bad), **arguments)
    except YourTurn as error:
        print(error.render(), file=sys.stderr)
        code = 1
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)


def _kill_at(number: int | None) -> None:
    run, left = process.run, iter(range(1, sys.maxsize))

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(left) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(*arguments, **options)

    process.run = counted


def promote(stage: Stage, document: dict[str, Any], reason: str) -> int:
    release = Release(Path(), document)
    if promotion.was_rolled_back("dev", release, reason):
        return REFUSED
    promotion.commit("dev", release, Entry(entries.now(), "promote", release.label, "promoted", reason))
    return 0


def deploy(stage: Stage) -> int:
    if target := stage.candidate():
        returning.refuse_taken_back(stage, target)
        delivery.deliver(stage, target, "deploy", "")
    return 0


def rollback(stage: Stage, reason: str) -> int:
    delivery.deliver(stage, returning.target_of_rollback(stage, None, False, False), "rollback", reason)
    return 0


def look(stage: Stage) -> int:
    """What git, the cluster and `status` say, as JSON in the folder."""
    said = stage.history()
    brought = history.bringing(said, (stage.ledger() or "").partition("-")[2])
    found = {
        "left": list(stage.remembered().taken_back),
        "because": brought.reason if brought else "",
        "ledger": stage.ledger(),
        "running": stage.running(),
        "problems": state.read(stage)["problems"],
        "history": [(entry.action, entry.release) for entry in said],
        "taken_back": history.taken_back(said),
    }
    stage._write("look.json", found)
    return 0


VERBS = {"promote": promote, "deploy": deploy, "rollback": rollback, "look": look}
