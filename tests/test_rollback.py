"""rollback on `local`: under load, and what it refuses. On a cluster: tests/cluster."""

import shutil
import threading

from tests.support.fork import Fork
from tests.support.local import ask


def test_rollback_fails_no_request(served: Fork) -> None:
    """Four clients loop all along; each answer is that of one of the two releases."""
    answers, failures, stop = [], [], threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(served))
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=loop) for _ in range(4)]
    for client in clients:
        client.start()
    for reason in ("there", "and back", "and there"):
        served.ok("rollback", "local", "--reason", reason)
    stop.set()
    for client in clients:
        client.join()
    assert not failures
    assert len(answers) > 100
    assert set(answers) == {2.0, 3.0}
    assert ask(served) == 2.0


def test_rollback_refuses(served: Fork) -> None:
    def refusal(*arguments: str) -> str:
        result = served.run("rollback", "local", *arguments)
        assert result.code == 1
        return result.err.splitlines()[0]

    assert refusal() == "error: a rollback needs a reason: whoever reads the history will ask"
    assert refusal("--reason", " ") == "error: a rollback needs a reason: whoever reads the history will ask"
    assert refusal("--reason", "x", "--to", "fffffffff") == "error: release fffffffff is not in build/releases"
    third = served.release(SLOPE="4.0")
    assert refusal("--reason", "x", "--to", third) == f"error: release {third} has never served in local"
    shutil.rmtree(next((served.root / "build/releases").glob(f"*-{served.first}")))
    assert f"-{served.first} is not in build/releases" in refusal("--reason", "x")
    assert ask(served) == 3.0
    served.ok("rollback", "local", "--reason", "x", "--to", third, "--force")
    assert ask(served) == 4.0


def test_only_one_release_leaves_nothing_to_roll_back_to_and_is_deployed_again_with_a_note(fork: Fork) -> None:
    """After an export that failed, the newest is of other code, or of another model."""
    fork.release()
    assert "  note " not in fork.ok("deploy", "local").err
    fork.write_model(SLOPE="3.0")
    assert "is not of model/ as it is now; ./pipeline up makes one" in fork.ok("deploy", "local").err
    fork.edit("pyproject.toml", 'models = ["instant"]', 'models = ["digits"]')
    assert "holds instant, and pyproject.toml names digits; ./pipeline up makes one" in fork.ok("deploy", "local").err
    result = fork.run("rollback", "local", "--reason", "x")
    assert (
        result.err.splitlines()[0] == "error: local has nothing to roll back to: only one release has ever served there"
    )
