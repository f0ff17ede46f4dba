"""What a release is named by: the parsed code that decides its answers, and nothing that only prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.release import identity
from tests.support.fork import INSTANT, ROOT

DECIDES = ["tensorflow", "keras", "numpy"]  # what computes with tensors


@pytest.fixture
def instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model in a folder that has all that decides a release."""
    for folder in ("model", "scripts", "requirements", "serving"):
        (tmp_path / folder).symlink_to(ROOT / folder) if folder != "model" else (tmp_path / folder).mkdir()
    (tmp_path / "model/__init__.py").write_text((ROOT / "model/__init__.py").read_text())
    (tmp_path / "pyproject.toml").write_text('[tool.pipeline]\nmodels = ["instant"]\n')
    path = tmp_path / "model/instant.py"
    path.write_text(INSTANT)
    monkeypatch.chdir(tmp_path)
    return path


# The place of what is changed, what it becomes, and which of the identities that changes.
CHANGES = {
    "comment": ("NAME =", "# Which one?\nNAME =", ""),
    "docstring": ('"""y = SLOPE', '"""It is y = SLOPE', ""),
    "layout": ("SLOPE = 2.0", "SLOPE   =   2.0", ""),
    "data": ("10 * x, 10 * SLOPE", "9 * x, 9 * SLOPE", "weights"),
    "constant that data() uses": ("SLOPE = 2.0", "SLOPE = 3.0", "weights"),
    "network": ("SGD(0.0)", "SGD(0.1)", "weights"),
    "fit": ("epochs=1", "epochs=2", "weights"),
    "call that may change anything": ("SLOPE = 2.0", "SLOPE = 2.0\nkeras.config.set_floatx('float64')", "weights"),
    "gate": ("at_most=0.001", "at_most=0.002", "judging"),
    "metric": ("abs(predictions", "square(predictions", "judging"),
    "example": ("[[10.0]]}, outputs", "[[11.0]]}, outputs", "judging"),
    "tolerance": ("tolerance=0.001", "tolerance=0.002", "judging"),
    "labels": ("NAME =", 'LABELS = ["a"]\nNAME =', "judging"),
    "signature": ('{"y": network(x)}', '{"y": 2 * network(x)}', "judging"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_of_a_model_file_changes(instant: Path, change: str) -> None:
    old, new, changed = CHANGES[change]
    assert old in INSTANT
    before = identity.of_model("instant")
    instant.write_text(INSTANT.replace(old, new, 1))
    now = identity.of_model("instant")
    assert (now.weights != before.weights, now.judging != before.judging) == (
        changed == "weights",
        changed == "judging",
    )
    assert (now.judged != before.judged) == bool(changed)
    assert (
        identity.differences(before.weights | before.judging, now.weights | now.judging)
        == {
            "": [],
            "weights": ["model/instant.py (data, network, fit)"],
            "judging": ["model/instant.py (the rest)"],
        }[changed]
    )


def test_a_shared_file_decides_what_the_part_that_imports_it_decides(instant: Path) -> None:
    (instant.parent / "_shared.py").write_text("from model import _deeper\n")
    (instant.parent / "_deeper.py").write_text("WIDTH = 1\n")
    instant.write_text(
        INSTANT.replace("def metrics(", "from model._shared import _deeper as deep\n\n\ndef metrics(", 1)
    )
    before = identity.of_model("instant")
    (instant.parent / "_deeper.py").write_text("WIDTH = 2\n")
    now = identity.of_model("instant")
    assert identity.differences(before.judging, now.judging) == ["model/_deeper.py"]
    assert now.weights == before.weights


def test_a_file_that_git_ignores_is_no_data(instant: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    Path(".gitignore").write_text(".DS_Store\n")
    before = identity.of_release(["instant"])
    (instant.parent / ".DS_Store").write_text("of a desktop")
    assert identity.of_release(["instant"]) == before
    (instant.parent / "table.csv").write_text("1,2")
    assert identity.of_release(["instant"]) != before


def test_the_embedded_server_decides_where_it_is_chosen(instant: Path) -> None:
    """With its code, its lock and its Dockerfile; else only what an export takes from it."""
    exported = [part for part in identity.of_model("instant").judging if "embedded" in part]
    assert exported == ["serving/embedded/__init__.py", "serving/embedded/fence.py"]
    (instant.parents[1] / "pyproject.toml").write_text('[tool.pipeline]\nmodels = ["instant"]\nserver = "embedded"\n')
    assert identity.of_model("instant").judging.keys() >= {
        *("serving/embedded/server.py", "serving/embedded/http/http2.py", "serving/embedded/tensorflow_model_server"),
        *("serving/Dockerfile.embedded", "requirements/serve.txt"),
    }


def test_all_code_that_computes_with_tensors_is_in_the_identity() -> None:
    """By the imports that Python itself makes; what is outside, and reports apart, imports none of what computes."""
    parts = identity.of_model("linear_regression")
    inside = {name for name in parts.weights | parts.judging if name.startswith("scripts/")}
    code = (
        "import os, sys, scripts.training.fitting, scripts.training.judgement, scripts.training.exporting;"
        "import scripts.training.backups;"  # fitting imports it where it trains
        "print(*[os.path.relpath(m.__file__) for name, m in sys.modules.items() if name.startswith('scripts.training')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert inside == set(ran.stdout.split()) - set(identity.SPEAKING)
    outside = [path for path in ROOT.glob("scripts/**/*.py") if str(path.relative_to(ROOT)) not in inside]
    computing = [
        str(p.relative_to(ROOT)) for p in outside if any(f"import {name}" in p.read_text() for name in DECIDES)
    ]
    assert [path for path in computing if not path.startswith("scripts/reports/")] == ["scripts/training/isolation.py"]


def test_every_python_writes_a_statement_alike() -> None:
    """A workflow's Python is not that of the person, nor of a training in a cluster."""
    (statement,) = ast.parse("def f(x): return x").body
    assert identity.written(statement) == (
        "FunctionDef(name='f', args=arguments(posonlyargs=[], args=[arg(arg='x')], kwonlyargs=[], kw_defaults=[], defaults=[]), "
        "body=[Return(value=Name(id='x', ctx=Load()))], decorator_list=[])"
    )
