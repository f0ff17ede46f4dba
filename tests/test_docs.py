"""The pages of docs/ and k8s/clusters/: every command in them is run by a test, or says before it why it cannot be."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import ROOT, Fork

PAGES = sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("docs/*.md"), *ROOT.glob("k8s/clusters/*/README.md")])
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.M | re.S)
COMMAND = re.compile(r"^(\./|git |gh |curl |kubectl |python3? |pytest |export |k8s/clusters/)", re.M)
ELSEWHERE = {
    "docs/alerts.md": "tests/monitoring/conftest.py",
    "docs/data.md": "tests/test_clusters.py",
    "docs/your-model.md": "tests/test_your_model.py",
    "docs/updating.md": "tests/test_updating.py",
    "docs/clients.md": "tests/test_examples.py",
    "docs/trying-out.md": "tests/test_examples.py",
}
HERE = ["docs/rollback.md", "docs/approvals.md", "docs/first-deployment.md"]  # the last one ends the server


def blocks(page: str) -> list[re.Match[str]]:
    return list(BLOCK.finditer((ROOT / page).read_text()))


def to_run(page: str) -> list[str]:
    return [b["text"] for b in blocks(page) if b["language"] == "sh" and not b["why"]]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        assert block["language"] in ("sh", "python") or not COMMAND.search(block["text"]), block["text"]
        assert block["why"] is None or len(block["why"].split()) > 3, block["text"]
    if page in ELSEWHERE:
        assert page in (ROOT / ELSEWHERE[page]).read_text()
    else:
        assert page in HERE or not to_run(page), to_run(page)


def test_a_mark_belongs_to_the_block_below_it() -> None:
    for page in PAGES:
        assert (ROOT / page).read_text().count("<!-- not run:") == sum(bool(b["why"]) for b in blocks(page)), page


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """Two releases have served on `local`, the second does."""
    fork = Fork(tmp_path_factory.mktemp("docs") / "fork")
    fork.release()
    fork.ok("deploy", "local")
    fork.release(SLOPE="3.0")
    fork.ok("deploy", "local")
    yield fork
    fork.clean_up()


@pytest.mark.parametrize("page", HERE)
def test_the_commands_work_as_they_stand(served: Fork, page: str) -> None:
    history = served.ok("history", "local", "--json", "history.json") and served.read("history.json")
    names = list(dict.fromkeys(entry["release"] for entry in history if entry["outcome"] == "serving"))
    for line in "".join(to_run(page)).splitlines():
        line = line.replace('"$RELEASE"', names[-1].partition("-")[2])
        if line == "./pipeline up":  # the README's test runs it; here the server is up
            continue
        done = _run(served, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def _run(fork: Fork, line: str) -> subprocess.CompletedProcess[str]:
    if line.startswith("./pipeline "):
        result = fork.run(*shlex.split(line)[1:])
        return subprocess.CompletedProcess(line, result.code, result.out, result.err)
    return subprocess.run(["bash", "-c", line], cwd=fork.root, capture_output=True, text=True)


def test_every_variable_that_the_workflows_read_is_documented() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    workflows = "".join(path.read_text() for path in Path(ROOT / ".github").rglob("*.yml"))
    names = set(re.findall(r"(?:vars|fromJSON\(inputs\.variables\))\.([A-Z][A-Z_]+)", workflows))
    assert {name for name in names if f"`{name}`" not in text} == set()
