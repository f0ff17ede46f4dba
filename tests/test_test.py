"""test: what follows goes on to pytest, and so does the verdict."""

from tests.support.fork import Fork


def test_arguments_and_verdict_are_pytest_s(fork: Fork) -> None:
    (fork.root / "tests/test_two.py").write_text("def test_good(): pass\ndef test_bad(): assert 1 == 2\n")
    good = fork.command("test", "tests/test_two.py", "-q", "-k", "good")
    assert good.returncode == 0 and "1 passed, 1 deselected" in good.stdout
    bad = fork.command("test", "tests/test_two.py", "-q")
    assert bad.returncode == 1 and "assert 1 == 2" in bad.stdout
