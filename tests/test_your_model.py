"""docs/your-model.md, followed to the letter: its file is written, its commands are run, and those said to be refused are."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.fork import ROOT, Fork


def test_the_guide_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine, whose half of `up` would be as long again: the models that come with the template go through it."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    fork = Fork(tmp_path / "fork")
    fork.git("config", "user.name", "reader")
    fork.git("config", "user.email", "reader@example.com")
    guide = (ROOT / "docs/your-model.md").read_text().replace(":8501", f":{fork.rest_port}")
    (source,) = re.findall(r"Write \*\*model/flowers\.py\*\*:\n\n```python\n(.*?)```", guide, re.DOTALL)
    (fork.root / "model/flowers.py").write_text(source)
    try:
        answers = [
            _follow(fork, line)
            for block in re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
            for line in block.splitlines()
        ]
    finally:
        fork.clean_up()
    assert any('"label": "setosa"' in answer for answer in answers)
    assert any("accuracy is " in answer for answer in answers)
    assert any(
        "the classes are virginica, setosa, versicolor, and were setosa, versicolor, virginica" in a for a in answers
    )


def _follow(fork: Fork, line: str) -> str:
    """A verb runs where TensorFlow is loaded already, which saves a minute; anything else runs in a shell."""
    if line.startswith("./pipeline "):
        done = fork.run(*shlex.split(line, comments=True)[1:])
        code, output = done.code, done.out + done.err
    else:
        shell = subprocess.run(["bash", "-c", line], cwd=fork.root, capture_output=True, text=True)
        code, output = shell.returncode, shell.stdout + shell.stderr
    assert code == (1 if "# refused: exit 1" in line else 0), f"{line}\n{output}"
    return output
