"""serve: a release in the foreground, until Ctrl-C."""

import signal

from tests.support.fork import Fork
from tests.support.local import ask


def test_it_answers_until_it_is_interrupted(fork: Fork) -> None:
    older, newer = fork.release(SLOPE="2.0"), fork.release(SLOPE="3.0")
    for arguments, name, answer in (([], newer, 3.0), (["--release", older], older, 2.0)):
        process = fork.start("serve", *arguments)
        assert f"release {name} on http://127.0.0.1:{fork.rest_port}" in process.stderr.readline()
        while " I server: Serving " not in (line := process.stderr.readline()):
            assert line, "it ended"
        assert ask(fork) == answer
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        process.communicate()


def test_a_release_that_is_not_here(fork: Fork) -> None:
    result = fork.run("serve", "--release", "ffffff")
    assert (result.code, result.err.splitlines()[0]) == (1, "error: release ffffff is not in build/releases")
