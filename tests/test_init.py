"""init changes the values it is told, and nothing else of the file; what no verb could use is refused before anything is written."""

import codecs
import difflib
import os
import pty
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.fork import Fork

BAD = {
    "model without a file": (["--model", "instnt"], "no model 'instnt' in model/; did you mean 'instant'?"),
    "image with a tag": (
        ["--image", "ghcr.io/me/digits:1"],
        "'ghcr.io/me/digits:1' is no image: REGISTRY/NAME, in lower case",
    ),
    "image in upper case": (
        ["--image", "ghcr.io/Me/digits"],
        "'ghcr.io/Me/digits' is no image: REGISTRY/NAME, in lower case",
    ),
    "image without a registry": (["--image", "digits"], "'digits' is no image: REGISTRY/NAME"),
    "context of no environment": (["--context", "prod=x"], "no environment 'prod'; there is: dev, staging, production"),
    "context without a name": (["--context", "dev"], "--context dev: that is no ENV=NAME"),
    "nobody to ask": ([], "init asks, and nobody is at the terminal"),
}


@pytest.fixture
def settings(shared_fork: Fork) -> Iterator[str]:
    """pyproject.toml as it was, and again afterwards."""
    path = shared_fork.root / "pyproject.toml"
    before = path.read_text()
    yield before
    path.write_text(before)


def changed(fork: Fork, before: str) -> list[str]:
    after = (fork.root / "pyproject.toml").read_text()
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line.startswith(("+", "-"))]


def test_sets_values_and_keeps_every_other_byte(shared_fork: Fork, settings: str) -> None:
    options = [
        "--model",
        "digits",
        "--model",
        "instant",
        "--image",
        "registry.example.com:5000/team/d",
        "--context",
        "dev=me@one",
    ]
    shared_fork.edit("pyproject.toml", 'image = ""', 'image = ""   # where it goes')
    settings = (shared_fork.root / "pyproject.toml").read_text()
    shared_fork.ok("init", *options)
    assert changed(shared_fork, settings) == [
        '- models = ["instant"]',
        '+ models = ["digits", "instant"]',
        '- image = ""   # where it goes',
        '+ image = "registry.example.com:5000/team/d"   # where it goes',
        '- dev = { context = "", by = "commit" }',
        '+ dev = { context = "me@one", by = "commit" }',
    ]
    once = (shared_fork.root / "pyproject.toml").stat().st_mtime_ns
    assert "nothing changed" in shared_fork.ok("init", *options).err
    assert (shared_fork.root / "pyproject.toml").stat().st_mtime_ns == once
    shared_fork.ok("init", "--model", "instant", "--image", "", "--context", "dev=")
    assert changed(shared_fork, settings) == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_keeps_line_ends_and_a_mark_of_the_byte_order(
    shared_fork: Fork, settings: str, end: bytes, mark: bytes
) -> None:
    path = shared_fork.root / "pyproject.toml"
    before = mark + settings.encode().replace(b"\n", end)
    path.write_bytes(before)
    shared_fork.ok("init", "--model", "digits", "--context", "dev=me@one")
    expected = before.replace(b'models = ["instant"]', b'models = ["digits"]')
    assert path.read_bytes() == expected.replace(b'dev = { context = ""', b'dev = { context = "me@one"')


def test_asks_on_a_terminal_and_enter_keeps(shared_fork: Fork, settings: str) -> None:
    theirs, ours = pty.openpty()
    process = subprocess.Popen(
        ["./pipeline", "init"], cwd=shared_fork.root, stdin=ours, stderr=subprocess.PIPE, text=True
    )
    os.write(theirs, b"\n\n\nme@two\n\n")
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert "models, by spaces [instant]: " in error
    assert "kubectl's context of production []: " in error
    assert changed(shared_fork, settings) == [
        '- staging = { context = "", by = "pull-request" }',
        '+ staging = { context = "me@two", by = "pull-request" }',
    ]


@pytest.mark.parametrize("defect", BAD)
def test_refuses(shared_fork: Fork, settings: str, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, message = BAD[defect]
    with open(os.devnull) as nobody:
        done = subprocess.run(
            ["./pipeline", "init", *options], cwd=shared_fork.root, stdin=nobody, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert "\n  next: " in done.stderr
    assert changed(shared_fork, settings) == []
