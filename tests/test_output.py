"""What a verb was asked for can be piped and searched; what it says besides does not get in the way."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import Fork

# Each verb that is asked something, and a line of its answer.
ASKED = {
    "--help": "  deploy .*overlay",
    "status local": "^  local .* right$",
    "history local": "^  .* deploy .* serving",
    "verify local": "^local: .* all right$",
    "doctor": "^  ok +model +model/instant.py: asked 2 examples",
    "diff dev --against HEAD~1": "spec.replicas: 1 → 3",
    "bench --clients 1 --seconds 0.1": "^  instant +rest +1 ",
    "report --against HEAD~1": "spec.replicas: 1 → 3",
    "evaluate": "^  max_absolute_error .* passed$",
    "lint chooser": "^  clean +chooser$",
}
DRAWN = re.compile("[\x1b\u2500-\u259f]")  # a colour, a box


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("output") / "fork")
    fork.release()
    fork.ok("deploy", "local")
    fork.edit("k8s/overlays/dev/replicas.yaml", "replicas: 1", "replicas: 3")
    fork.commit("three replicas")
    yield fork.warm()
    fork.clean_up()


def shell(fork: Fork, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=fork.root, capture_output=True, text=True)


@pytest.mark.parametrize("words", ASKED)
def test_the_answer_can_be_piped(served: Fork, words: str) -> None:
    done = shell(served, f"./pipeline {words} | tee answer | grep -E '{ASKED[words]}'")
    assert done.returncode == 0, (served.root / "answer").read_text() + done.stderr
    assert not DRAWN.search((served.root / "answer").read_text())


@pytest.mark.parametrize("verb", ["status local", "history local", "bench --clients 1 --seconds 0.1"])
def test_a_dash_is_standard_output_and_nothing_but_json(served: Fork, verb: str) -> None:
    assert json.loads(shell(served, f"./pipeline {verb} --json -").stdout)


def test_a_reader_who_has_seen_enough_is_no_error(served: Fork) -> None:
    assert "Traceback" not in shell(served, "./pipeline --help | head -1; ./pipeline history local | true").stderr


def test_it_works_from_any_folder_and_files_are_where_one_stands(served: Fork, tmp_path: Path) -> None:
    subprocess.run([served.root / "pipeline", "history", "local", "--json", "here.json"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "here.json").read_text())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("./pipeline de", "deploy"),
        ("./pipeline fi", "find"),
        ("./pipeline deploy st", "staging"),
        ("./pipeline history local --a", "--all"),
        ("./pipeline promote dev --rea", "--reason"),
    ],
)
def test_the_shell_completes(served: Fork, typed: str, offered: str) -> None:
    words = typed.split()
    line = (
        f"source scripts/completion.sh; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _pipeline; echo $COMPREPLY"
    )
    assert shell(served, line).stdout.split() == [offered]
