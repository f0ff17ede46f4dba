"""down: the server ends, the ledger says that nothing is meant to be served, and once more is no error."""

from tests.support.fork import Fork


def test_the_server_is_stopped_once(fork: Fork) -> None:
    fork.release()
    fork.ok("deploy", "local")
    assert fork.ok("down").err == "the server is stopped; ./pipeline up starts it again\n"
    assert fork.ok("down").err == "no server of this repository is running\n"
    fork.ok("status", "local")
    assert " down " in fork.ok("history", "local").out.splitlines()[2]
