"""The promises that a reader of the documents can check. What a linter can check is in tests/workflows/test_lint.py."""

import re
import subprocess

import pytest

from tests.support.fork import ROOT

MARKDOWN = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()


@pytest.mark.parametrize("path", MARKDOWN)
def test_every_path_in_markdown_exists(path: str) -> None:
    text = (ROOT / path).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    quoted = re.findall(r"`((?:model|serving|scripts|tests|requirements|k8s|docs|\.ci|\.github)/[\w./-]*)`", text)
    missing = [name for name in links if not (ROOT / path).parent.joinpath(name).exists()]
    missing += [name for name in quoted if not (ROOT / name).exists() and not re.search(r"NAME|ENV|VERB", name)]
    assert not missing


def test_the_readme_is_short_and_begins_with_the_first_command() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert any("./pipeline up" in line for line in lines[:15])
