"""board: the ledger as one page, whole in a real browser, small however long the ledger is, deaf to what people wrote into it."""

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scripts.reports import board, wording
from tests.conftest import requires
from tests.support import browser, ledgers
from tests.support.fork import Fork
from tests.test_freeze import verb
from tests.test_promote import push, release

HOSTILE = "</p><script>document.title='owned'</script><img src=x onerror=alert(1)> {{ 7*7 }} ]]> “ü”"
PAGE = "build/board/index.html"


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """Dev had releases 1 and 2 and was rolled back; release 2 is proposed for staging, which has 1; release 1 is blocked."""
    fork = Fork(tmp_path_factory.mktemp("board") / "fork")
    for number in (1, 2):
        document = release(number)
        model = document["models"][0]
        model |= {"metrics": {"error": 0.25 / number, HOSTILE: 3.0}, "examples": [example(HOSTILE), example("y")]}
        model["gates"][0] |= {"bound": "<= 0.5", "value": 0.25 / number}
        push(fork, document)
        verb(fork, "promote", "dev", "--reason", HOSTILE)
        if number == 1:
            verb(fork, "promote", "staging")
    fork.git("checkout", "-q", "-b", "proposal")
    verb(fork, "promote", "staging")
    fork.git("update-ref", "refs/remotes/origin/promote/staging", "HEAD")
    fork.git("checkout", "-q", "main")
    verb(fork, "block", "1" * 12, "--reason", HOSTILE)
    verb(fork, "board")
    return fork


def example(text: str) -> dict[str, Any]:
    return {"inputs": {"x": [text]}, "outputs": {"y": [2.0]}, "tolerance": 0.1}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """5 environments with 400 acts each."""
    fork = Fork(tmp_path_factory.mktemp("many") / "fork")
    ledgers.with_environments(fork, ledgers.ENVIRONMENTS)
    ledgers.make(fork, ledgers.ENVIRONMENTS, deployments=400, commits=2000, reason=HOSTILE)
    verb(fork, "board")
    return fork


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    if not shutil.which("chromium"):
        requires("tools", "there is no chromium on PATH: .ci/tools brings it")
    with browser.tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def text(fork: Fork) -> str:
    """The page's text, without its tags."""
    found = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", (fork.root / PAGE).read_text())
    return " ".join(html.unescape(found).split())


def test_what_serves_since_when_and_what_waits(fork: Fork) -> None:
    found = text(fork)
    assert f"dev not recorded as verified {'2' * 12} promoted " in found
    assert f"staging blocked {'1' * 12} promoted " in found
    assert f"{'2' * 12} waits for a merge, proposed " in found
    assert "production Nothing yet." in found


def test_what_people_wrote_is_text_and_nothing_else(fork: Fork) -> None:
    """No element of theirs, no attribute that runs anything, no address; and the template library evaluates nothing of it."""
    found: list[tuple[str, list]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, attrs))  # ty: ignore
    parser.feed((fork.root / PAGE).read_text())
    names = {name for _, attributes in found for name, _ in attributes}
    assert not {tag for tag, _ in found} & {"script", "img", "iframe", "object", "form"} and "svg" in dict(found)
    assert not [name for name in names if name.startswith("on") or name in ("src", "style")]
    assert {value for _, attributes in found for name, value in attributes if name == "href"} == {"data:,", "#serves"}
    assert HOSTILE in text(fork)


def test_every_number_is_the_ledger_s(many: Fork) -> None:
    found, acts = text(many), list(ledgers.acts(ledgers.ENVIRONMENTS, 400))
    releases = {number for _, _, number in acts}
    newest = ledgers.document(max(releases))
    assert f"instant {len(releases)} releases, the newest {newest['id'][:12]}" in found
    for metric, value in newest["models"][0]["metrics"].items():
        values = [ledgers.document(number)["models"][0]["metrics"][metric] for number in releases]
        span = f"{wording.number(min(values))} to {wording.number(max(values))} over {len(releases)} releases"
        assert f"{metric} {wording.number(value)} {span}" in found
    for name in ledgers.ENVIRONMENTS:
        mine = [(action, number) for where, action, number in acts if where == name]
        backs = sum(action == "rollback" for action, _ in mine)
        assert f"{name} {len(mine)} · {backs} back" in found
        assert f"{name} the last 20 of {len(mine) + 1} {name}, newest first" in found, (
            "and the commit that made its folder"
        )
        assert f"{name} {'not recorded as verified' if name == 'production' else 'verified, it seems'} " in found


def test_it_stays_small_and_says_what_it_leaves_out(many: Fork) -> None:
    assert (many.root / PAGE).stat().st_size < board.LIMIT
    assert "at most 20 entries and 1000 ticks of an environment, 400 releases, 6 metrics and 3 examples" in text(many)


def test_a_ledger_of_long_words_is_cut_until_it_fits() -> None:
    rows = [{"time": "2026-01-01T00:00:00+00:00", "action": "promote", "release": "1-a", "reason": "<" * 5000}] * 50
    one = {"name": "e", "serves": None, "since": None, "verified": None, "closed": "", "waits": None, "entries": rows}
    document = {"made": rows[0]["time"], "commit": "c", "source": "", "releases": [], "blocked": {}}
    page = board.page(document | {"environments": [one | {"name": f"environment {n}"} for n in range(60)]})
    assert len(page.encode()) < board.LIMIT and "at most 5 entries" in page


WINDOWS = [(width, dark) for width in (360, 1280) for dark in (False, True)]


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
@pytest.mark.parametrize("which", ["fork", "many"])
def test_a_browser_shows_it(
    tab: browser.Tab, request: pytest.FixtureRequest, tmp_path: Path, which: str, width: int, dark: bool
) -> None:
    """With every part opened: no complaint, nothing wider than the window, and colours of the scheme that was asked for."""
    tab.complaints.clear()
    tab.open(request.getfixturevalue(which).root / PAGE, width, dark=dark)
    assert tab.ask("document.title") == "What serves where"
    tab.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert (sum(map(int, re.findall(r"\d+", tab.ask("getComputedStyle(document.body).backgroundColor")))) < 200) == dark
    assert tab.complaints == []


def test_the_keyboard_reaches_and_opens_every_part(tab: browser.Tab, fork: Fork) -> None:
    tab.open(fork.root / PAGE, 1280)
    count = tab.ask("document.querySelectorAll('summary').length")
    for _ in range(count + 1):  # the first is the link past the head
        tab.press("Tab")
        if tab.ask("document.activeElement.tagName") == "SUMMARY":
            tab.press("Enter", "\r")
    assert count and tab.ask("document.querySelectorAll('details[open]').length") == count


def test_a_screen_reader_finds_headings_and_names_for_every_drawing(tab: browser.Tab, fork: Fork) -> None:
    tab.open(fork.root / PAGE, 1280)
    nodes = [node for node in tab.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    names = {
        role: [n["name"]["value"] for n in nodes if n["role"]["value"] == role]
        for role in ("heading", "image", "region")
    }
    assert {"What serves where", "Environments", "Deployments and rollbacks", "The ledger"} <= set(names["heading"])
    assert "dev: 2 in all, 0 of them taken back" in names["image"]
    assert all(names["image"]) and all(names["region"])


def test_a_clone_without_its_history_is_told_to_fetch_it(fork: Fork, tmp_path: Path) -> None:
    shallow = Fork.__new__(Fork)
    shallow.root = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{fork.root}", shallow.root], check=True)
    (shallow.root / ".venv").symlink_to(fork.root / ".venv")
    assert verb(shallow, "board", code=1) == (
        "error: this clone is shallow: what each environment served stands in the history that it lacks\n  next: git fetch --unshallow\n"
    )
    assert not (shallow.root / PAGE).exists()
    assert "error: this clone is shallow: why dev serves what it serves" in verb(shallow, "why", "dev", code=1)
