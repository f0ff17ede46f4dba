"""The models of named columns and of text, served, and asked as docs/clients.md says; and docs/trying-out.md, with one of them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.fork import ROOT, Fork

CLIENTS, TRYING_OUT = ((ROOT / f"docs/{page}").read_text() for page in ("clients.md", "trying-out.md"))
FLAT = {"area": 62.5, "rooms": 2, "year": 1965, "district": "harbour", "heating": "gas"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork that serves both, by the first command of docs/clients.md."""
    fork = Fork(tmp_path_factory.mktemp("examples") / "fork")
    up = shlex.split(blocks(CLIENTS, "sh")[0])
    fork.given("train --model rents --model languages")
    done = fork.warm().command(*up[1:], DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 0, done.stderr
    yield fork
    fork.clean_up()


def ask(fork: Fork, program: list[str], text: str) -> str:
    """What `program` prints that reads `text`, in which the ports are this fork's."""
    text = text.replace(":8501", f":{fork.rest_port}").replace(":8500", f":{fork.grpc_port}")
    done = subprocess.run(program, input=text, cwd=fork.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_sends_columns_by_name_and_text_of_any_script(served: Fork) -> None:
    flats, texts, metadata = (
        json.loads(ask(served, ["bash"], line))
        for block in blocks(CLIENTS, "sh")[1:]
        for line in re.split(r"\n(?=curl)", block.strip())
    )
    assert [sorted(row) for row in flats["predictions"]] == [["quick", "rent"]] * 2
    assert [row["language"] for row in texts["predictions"]] == ["français", "русский"]
    assert metadata["model_spec"]["name"] == "rents"


@pytest.mark.parametrize("api", ["REST", "gRPC"])
def test_python_asks(served: Fork, api: str) -> None:
    text = next(block for block in blocks(CLIENTS, "python") if ("grpc" in block) == (api == "gRPC"))
    assert 800 < float(re.search(r"\d+\.\d+", ask(served, [sys.executable, "-"], text))[0]) < 1000


def test_javascript_asks(served: Fork) -> None:
    node = shutil.which("node")
    if not node or int(subprocess.check_output([node, "-p", "process.versions.node.split('.')[0]"])) < 18:
        pytest.skip("there is no node, or one that knows no fetch")
    (text,) = blocks(CLIENTS, "js")
    assert 800 < float(ask(served, [node, "--input-type=module", "-"], text)) < 1000


def test_the_cards_are_of_their_kinds(served: Fork) -> None:
    rents, languages = ((served.root / f"build/{name}/card.md").read_text() for name in ("rents", "languages"))
    assert all(f"({plot}.png)" in rents for plot in ("loss", "rent-predictions", "quick-curves", "quick-confusion"))
    assert "(confusion.png)" in languages and "| input | true | predicted | score |" in languages
    assert "not drawn" not in rents + languages


def test_trying_out_works_as_it_stands(served: Fork) -> None:
    (test,) = blocks(TRYING_OUT, "python")
    (served.root / "tests/test_rents.py").write_text(test)
    for line in "".join(blocks(TRYING_OUT, "sh")).splitlines():
        command = (
            [".venv/bin/python", "-m", "scripts", *shlex.split(line)[1:]]
            if line.startswith("./pipeline")
            else shlex.split(line)
        )
        done = subprocess.run(command, cwd=served.root, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    cells = served.read("build/notebook.ipynb")["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    assert any("quick_accuracy" in "".join(output.get("data", {}).get("text/plain", "")) for output in shown)
    assert any("image/png" in output.get("data", {}) for output in shown)
