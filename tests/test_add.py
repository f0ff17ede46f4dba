"""add: a package that a model imports, into the settings and the locks, or nothing at all."""

import re

import pytest

from tests.support.fork import Fork
from tests.support.locks import look_at_locks


def test_one_command_adds_a_package_and_locks_it(locking: Fork) -> None:
    """One that nothing here needs, and that needs nothing."""
    locking.git("checkout", "-q", "-f", ".")
    assert re.search(r"^  add +humanize==", locking.ok("add", "humanize").err, flags=re.M)
    assert '    "humanize",\n' in (locking.root / "pyproject.toml").read_text()
    for lock, held in (("dev", True), ("train", True), ("serve", False), ("base", False)):
        assert ("\nhumanize==" in (locking.root / f"requirements/{lock}.txt").read_text()) is held
    assert look_at_locks(locking).returncode == 0


@pytest.mark.parametrize("package", ["numpy<1", "humanize!!1"], ids=["contradicts the others", "no version"])
def test_a_package_that_cannot_be_had_changes_nothing(locking: Fork, package: str) -> None:
    locking.git("checkout", "-q", "-f", ".")
    result = locking.run("add", package)
    assert (result.code, result.err.splitlines()[0]) == (1, f"error: {package} cannot be added:")
    assert locking.git("status", "--porcelain") == ""
