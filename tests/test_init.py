"""init changes the values it is told, and nothing else of the file; what no verb could use is refused before anything is written."""

import codecs
import difflib
import os
import pty
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomlkit
from hypothesis import example, given
from hypothesis import settings as properties
from hypothesis import strategies as st

from scripts import init
from scripts.workspace.errors import YourTurn
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


AROUND = [  # what else is in the file: with all that looks like a setting, and is none
    ["# models = [1]"],
    ["[project]", 'name = "x"   # the name', "dependencies = [", '  "a>=1", # models', "]"],
    ["[tool.black]", 'text = """', "[tool.pipeline]", 'models = ["no"]', '"""'],
    ["[[tool.uv.index]]", "url = 'https://example.com/simple'", "", "[[tool.uv.index]]", 'url = "b"'],
    ["[tool]", "ruff.lint = { select = ['ALL'], models = 1 }", "\tuv.dev = true"],
    ["[pipeline]", 'models = ["another"]', "[pipeline.environments]", "dev = {}", "at = 2026-11-27T10:00:00Z"],
]
MODELS = [['models = ["instant"]'], ["models=[ 'instant' , ]  # which"], ["models = [", '  "instant", # one', "]"]]
IMAGES = [[], ['image = ""'], ["'image'  =  'old.example.com/x' # where"]]
DEV = '{ context = "", by = "commit" }'
ENVIRONMENTS = [  # all that follows the table [tool.pipeline] itself
    [],
    ["[tool.pipeline.environments]", f"dev = {DEV} # first", "staging = {}"],
    ["[tool.pipeline.environments.dev]", "context = '' # k", 'by = "commit"'],
    ["# the order", "", "[tool.pipeline.environments]", "[tool.pipeline.environments.dev]", 'by = "commit"'],
]
INSIDE = [[], ['environments.dev.context = "old"'], [f"environments = {{ dev = {DEV} }}"]]  # or in it
OURS = re.compile(
    r"""\s*(['"]?(models|image|context|dev|staging|production|environments)\b|(pipeline\b.*|["'].*|\]|\[.*environments\])?$)"""
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Any file that has the settings, in any form and order, with line ends of either kind."""
    values = [draw(st.sampled_from(MODELS)), draw(st.sampled_from(IMAGES)), ["rest_port = 8501 # REST"]]
    environments = draw(st.sampled_from(ENVIRONMENTS))
    values.append([] if environments else draw(st.sampled_from(INSIDE)))
    settings = [line for value in draw(st.permutations(values)) for line in value]
    form = draw(st.sampled_from(["table", "table", "table", "dotted", "inline"]))
    if form == "table":
        heads = ["[tool.pipeline]", '[ tool . "pipeline" ]', "[tool.pipeline] # settings"]
        block = [draw(st.sampled_from(heads)), *settings, *environments]
    elif form == "inline":
        block = ["[tool]", f'pipeline = {{ models = ["instant"], environments = {{ dev = {DEV} }} }} # short']
    else:
        block = ["[tool]", *(f"pipeline.{line}" if "=" in line and line[0] not in " ]" else line for line in settings)]
    around = draw(st.permutations([a for a in AROUND if form == "table" or a[0] != "[tool]"]))
    place = draw(st.integers(0, len(around)))
    lines = [line for part in (*around[:place], block, *around[place:]) for line in part]
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r\n", "\n"]]))
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    return text.removesuffix("\n").removesuffix("\r") if draw(st.booleans()) else text


@properties(max_examples=150, deadline=None)
@given(documents(), st.sampled_from([["dev"], ["production"], ["dev", "staging"], []]))
@example(
    '[tool.pipeline]\r\nmodels = ["instant"]\r\n[tool.pipeline.environments]\r\nstaging = {}', ["production"]
)  # no end
def test_any_file_keeps_all_but_its_settings(before: str, contexts: list[str]) -> None:
    def change(table: Any) -> None:
        table["models"], table["image"] = ["digits", "instant"], "registry.example.com/d"
        for name in contexts:
            table.setdefault("environments", {}).setdefault(name, tomlkit.inline_table())["context"] = "me@one"

    wanted = tomllib.loads(before)
    change(wanted["tool"]["pipeline"])
    try:
        after = init._with(before, change)
    except YourTurn:  # told, and nothing written: only for names that are written in an odd way
        assert "\npipeline." in before or '[ tool . "pipeline" ]' in before
        return
    assert tomllib.loads(after) == wanted
    old, new = before.split("\n"), after.split("\n")
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        changes = [] if tag == "equal" else [*old[i:j], *new[k:m]]
        theirs = {line.rstrip("\r") for line in changes if not OURS.match(line.rstrip("\r"))}
        assert theirs <= {old[-1]}, (before, after)  # the last line may get an end
    if "\n" not in before.replace("\r\n", ""):
        assert "\n" not in after.replace("\r\n", "")


def test_settings_in_another_table_s_form_are_told() -> None:
    with pytest.raises(YourTurn) as refusal:
        init._with(
            'tool.pipeline.models = ["a"]\ntool.pipeline.image = ""\n',
            lambda table: table.update(image="b", x={"y": 1}),
        )
    assert refusal.value.problem.startswith("pyproject.toml has a form in which these settings cannot be set without")


def test_keeps_a_mark_of_the_byte_order(shared_fork: Fork, settings: str) -> None:
    path = shared_fork.root / "pyproject.toml"
    before = codecs.BOM_UTF8 + settings.encode().replace(b"\n", b"\r\n")
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
