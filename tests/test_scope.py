"""scope: which changes are a fork's own, which reach the release, and which the template, whose tests are then due."""

from pathlib import Path

import pytest

from tests.support.fork import Fork

# The change: what is edited in which file, and whether it reaches the release and the template.
CHANGES = {
    "a model": ("model/instant.py", "SLOPE = 2.0", "SLOPE = 3.0", (True, False)),
    "a comment in a model": ("model/instant.py", "SLOPE = 2.0", "SLOPE = 2.0  # of the line", (False, False)),
    "an overlay": ("k8s/overlays/dev/replicas.yaml", "replicas: 1", "replicas: 2", (False, False)),
    "a page": ("docs/rollback.md", "# ", "# On ", (False, False)),
    "the first page": ("README.md", "# ", "# On ", (False, False)),
    "a setting": ("pyproject.toml", 'models = ["instant"]', 'models = ["linear_regression"]', (True, False)),
    "a dependency": ("pyproject.toml", '"uvloop', '"other", "uvloop', (False, True)),
    "a model that is no Python": ("model/instant.py", "SLOPE = 2.0", "SLOPE = ", (True, False)),
    "the contract of models": ("model/__init__.py", "import base64", "import base64  # for images", (False, True)),
    "a verb": ("scripts/down.py", '"""', '"""So: ', (False, True)),
    "a page beside the code": ("k8s/components/gpu/README.md", "# ", "# On ", (False, True)),
    "the server's configuration": ("serving/monitoring.config", "\n", "\n\n", (True, True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_reaches(shared_fork: Fork, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, old, new, expected = CHANGES[change]
    shared_fork.git("checkout", "-q", "-B", "change", "main")
    shared_fork.edit(path, old, new)
    shared_fork.commit(change)
    assert reached(shared_fork, "main", tmp_path, monkeypatch) == expected
    shared_fork.git("checkout", "-q", "main")


@pytest.mark.parametrize("since", ["", "0" * 40], ids=["nothing", "a commit that is not here"])
def test_where_it_cannot_be_told_all_is_reached(
    shared_fork: Fork, since: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reached(shared_fork, since, tmp_path, monkeypatch) == (True, True)


def reached(fork: Fork, since: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    fork.ok("scope", "--since", since)
    release, template = (tmp_path / "output").read_text().splitlines()[1::3]
    return release == "true", template == "true"
