"""The inputs of a release's hash: the parsed code that decides its answers, data files, locked packages, the server's configuration.

A model has two identities: of its weights (everything that data(), network() and fit() use), and of how it is judged and served (the rest).
Code counts as it is parsed, without comments, docstrings and layout, and only if it is imported. A definition in a model file counts for
the weights if data(), network() or fit() mention it, directly or through others.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.release import embedded, parsing, pointers, sources
from scripts.workspace import checkout, files

TRAINS = {"data", "network", "fit"}
QUICK = {"quick", "QUICK_GATES"}  # for the check of a pull request: they decide nothing of a release
# The pipeline's own part: the first file of each stage, with all its imports from these folders, without SPEAKING.
ROOMS = {Path("scripts/training"), Path("serving/embedded")}
TRAINING, JUDGING = ["scripts/training/fitting.py"], ["scripts/training/judgement.py", "scripts/training/exporting.py"]
SPEAKING = [
    "scripts/training/faults.py",
    "scripts/training/models.py",
]  # these find, name and refuse, and compute nothing
LOCK, SERVER = ["requirements/train.txt"], ["serving/Dockerfile", "serving/*.config"]
BY_NAME = {"globals", "locals", "vars", "eval", "exec", "__import__", "importlib"}

Parts = dict[str, str]  # a part's name, for people → its SHA-256


@dataclass(frozen=True)
class Identity:
    """`weights` decides the trained network, `judging` its evaluation and export."""

    weights: Parts
    judging: Parts

    @property
    def trained(self) -> str:
        return _digest(self.weights)

    @property
    def judged(self) -> str:
        return _digest(self.weights | self.judging)


def of_model(module: str) -> Identity:
    """The identity of `model/MODULE.py`."""
    weights, judging = _code(module)
    weights |= {str(path): pointers.sha256(path) for path in data_files([module])}
    weights |= sources.parts(model_files(module))
    weights |= _pipeline(TRAINING) | _hashed(LOCK)
    judging |= {name: value for name, value in _pipeline(JUDGING).items() if name not in weights} | _hashed(SERVER)
    judging |= embedded.parts() if embedded.is_chosen() else {}
    return Identity(weights, judging)


def of_release(modules: list[str]) -> str:
    """SHA-256 of everything that decides the answers of a release of `modules`; known before anything is trained."""
    return _digest({module: of_model(module).judged for module in modules})


def differences(before: Parts, now: Parts) -> list[str]:
    """The parts that were added, changed or removed."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _digest(parts: Parts) -> str:
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in sorted(parts.items())).encode()).hexdigest()


def _hashed(patterns: Iterable[str]) -> Parts:
    return {str(path): files.sha256(path) for pattern in patterns for path in sorted(Path().glob(pattern))}


def data_files(modules: list[str]) -> list[Path]:
    """Files below model/ other than code, without those that git ignores and those in another model's folder."""
    others = {path.stem for path in Path("model").glob("[!_]*.py")} - set(modules)
    ours = [path for path in checkout.files("model") if Path(path.parts[1]).stem not in others]
    return [path for path in ours if path.suffix not in (".py", ".pyc") and path != sources.LOCK]


def _code(module: str) -> tuple[Parts, Parts]:
    """The parsed code for the weights and for the judging: a model file is divided between them, an imported file is not."""
    path = Path("model") / f"{module}.py"
    statements = [s for s in _body(path) if not _defined(s) or _defined(s) - QUICK]
    trains = _reached(statements, TRAINS)
    halves = [[s for s in statements if (s in trains) == half] for half in (True, False)]
    parts: list[Parts] = []
    for half, purpose in zip(halves, ("data, network, fit", "the rest"), strict=True):
        found = {f"{path} ({purpose})": _hash(half)}
        found |= {str(file): _hash_of(file) for file in _imported(half, path)}
        parts.append(found)
    return parts[0], {name: value for name, value in parts[1].items() if name not in parts[0]}


def imported(module: str) -> list[Path]:
    """The files of this repository that `model/MODULE.py` imports, directly or through others, without the contract."""
    path = Path("model") / f"{module}.py"
    return [file for file in _imported(_body(path), path) if file != Path("model/__init__.py")]


def model_files(module: str) -> list[Path]:
    """`model/MODULE.py`, and the files of this repository that it imports."""
    return [Path("model") / f"{module}.py", *imported(module)]


def reading(module: str) -> dict[Path, list[ast.stmt]]:
    """The statements of `model/MODULE.py` that data() and network() use, and all statements of the files that it imports."""
    path = Path("model") / f"{module}.py"
    return {path: _reached(_body(path), TRAINS - {"fit"})} | {file: _body(file) for file in imported(module)}


def _pipeline(roots: list[str]) -> Parts:
    """The code of `roots`, with its imports from ROOMS and from the contract."""
    seen = dict.fromkeys(map(Path, roots))
    for path in roots:
        inside = _imported(_body(Path(path)), Path(path))
        seen |= dict.fromkeys(file for file in inside if file.parent in ROOMS or file == Path("model/__init__.py"))
    return {str(path): _hash_of(path) for path in seen if str(path) not in SPEAKING}


@parsing.of_file
def _body(path: Path) -> list[ast.stmt]:
    """The statements of a file, without docstrings and without the places of its sources."""
    return [statement for statement in parsing.statements(path) if not sources.is_declaration(statement)]


def _hash(statements: list[ast.stmt]) -> str:
    return hashlib.sha256("\n".join(map(written, statements)).encode()).hexdigest()


def written(statement: ast.stmt) -> str:
    """The statement as Python 3.11 writes it: later ones add a field that is empty, and leave out what is."""
    whole = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(statement, **whole).replace(", type_params=[]", "")


@parsing.of_file
def _hash_of(path: Path) -> str:
    return _hash(_body(path))


def _reached(statements: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """The statements that `names` use. A statement that defines nothing (a call, a loop) may change anything, and always counts."""
    if any(isinstance(node, ast.Name) and node.id in BY_NAME for s in statements for node in ast.walk(s)):
        return statements  # names looked up by a string cannot be followed
    wanted, reached = set(names), []
    while more := [s for s in statements if s not in reached and (not _defined(s) or _defined(s) & wanted)]:
        reached += more
        wanted |= {name for statement in more for name in _mentioned(statement)}
    return [statement for statement in statements if statement in reached]


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement defines, if it does nothing else."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        nodes = [node for target in targets for node in ast.walk(target)]
        plain = not any(isinstance(node, ast.Attribute | ast.Subscript) for node in nodes)
        return {node.id for node in nodes if isinstance(node, ast.Name)} if plain else set()
    return set()


def _mentioned(statement: ast.stmt) -> Iterator[str]:
    return (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))


def _imported(statements: list[ast.stmt], path: Path) -> list[Path]:
    """The files of this repository that the statements import, directly or through others."""
    found: set[Path] = set()
    waiting = _imports(statements, path)
    while waiting:
        if (file := waiting.pop()) not in found and file.exists():
            found.add(file)
            waiting += _imports_of(file)
    return sorted(found)


@parsing.of_file
def _imports_of(path: Path) -> list[Path]:
    return _imports(_body(path), path)


def _imports(statements: list[ast.stmt], path: Path) -> list[Path]:
    """Where the modules that the statements name would be in this repository."""
    found = []
    for node in parsing.nested(statements):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = (
                ".".join([*path.parts[: len(path.parts) - node.level], node.module or ""])
                if node.level
                else node.module
            )
            package = (package or "").strip(".")
            names = [package, *(f"{package}.{alias.name}" for alias in node.names)]
        else:
            continue
        files = [Path(*name.split(".")) for name in names if name.partition(".")[0] in ("model", "scripts", "serving")]
        found += [place for file in files for place in (file.with_suffix(".py"), file / "__init__.py")]
    return found
