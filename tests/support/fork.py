"""A fork of this repository in a folder of its own, as it is in the working tree, and its verbs run there."""

import atexit
import compileall
import contextlib
import functools
import json
import multiprocessing
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import docker.errors
import psutil

from tests.support.kept import bring
from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
INSTANT = (ROOT / "tests/models/instant.py").read_text()
TABLES = (ROOT / "tests/models/tables.py").read_text()
SETTINGS = """\
[tool.pipeline]
models = ["linear_regression"]
rest_port = 8501
grpc_port = 8500
image = ""
model_volume = false
tensorflow = "cpu"
ready_timeout_seconds = 300
attestation = "where-possible"
[tool.pipeline.environments]
dev = { context = "", by = "commit" }
staging = { context = "", by = "pull-request" }
production = { context = "", by = "pull-request" }

"""
FIRST = 1_750_000_001  # the second of the first commit: a version is a commit's time
CONTEXT = multiprocessing.get_context("forkserver")


def start_forkserver() -> None:
    """TensorFlow is imported once, and each verb runs in a process forked from that: half a second a verb, not five."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    CONTEXT.set_forkserver_preload(["tests.support.preloaded"])


@dataclass
class Result:
    code: int
    out: str
    err: str


class Fork:
    """`root`, with a suffix, is a git checkout with one commit, ports of its own, and this repository's environment."""

    def __init__(self, root: Path):
        # An image is named by the folder, and the engine is shared: without the suffix two forks would remove each other's.
        self.root = root = root.with_name(f"{root.name}-{secrets.token_hex(4)}")
        shutil.copytree(_template(), root, symlinks=True)
        (root / ".venv").symlink_to(ROOT / ".venv")
        self.rest_port, self.grpc_port = free_ports()
        for port, own in ((8501, self.rest_port), (8500, self.grpc_port)):
            self.edit("pyproject.toml", f"_port = {port}", f"_port = {own}")
        self.seconds = FIRST
        self.git("commit", "-q", "--all", "--amend", "--no-edit", seconds=FIRST)

    def copy(self, root: Path) -> "Fork":
        """The same commit in another folder, with all that was built, and with ports of its own, which git does not see."""
        copy = object.__new__(Fork)
        copy.root, copy.seconds = root.with_name(f"{root.name}-{secrets.token_hex(4)}"), self.seconds
        shutil.copytree(self.root, copy.root, symlinks=True)
        (copy.root / ".venv").unlink()
        (copy.root / ".venv").symlink_to(ROOT / ".venv")  # not that of the checkout whose run made this one
        copy.rest_port, copy.grpc_port = free_ports()
        for old, new in ((self.rest_port, copy.rest_port), (self.grpc_port, copy.grpc_port)):
            copy.edit("pyproject.toml", f"_port = {old}", f"_port = {new}")
        copy.git("update-index", "--assume-unchanged", "pyproject.toml")
        return copy

    def run(self, *arguments: str) -> Result:
        """`./pipeline ARGUMENTS`, without its launcher, in a process that has TensorFlow already."""
        return run_verb(self.root, arguments, dict(os.environ))

    def ok(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, f"exit code {result.code}\n{result.err}"
        return result

    def start(self, *arguments: str) -> subprocess.Popen:
        """The real `./pipeline ARGUMENTS` in a process group of its own."""
        return subprocess.Popen(
            ["./pipeline", *arguments],
            cwd=self.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The real `./pipeline ARGUMENTS`; returns only when nothing holds its pipes any more."""
        return subprocess.run(
            ["./pipeline", *arguments], cwd=self.root, env=os.environ | environment, capture_output=True, text=True
        )

    def warm(self) -> "Fork":
        """From here on its real `./pipeline` finds TensorFlow loaded, too."""
        from tests.support import warm

        (self.root / ".venv").unlink()
        (self.root / ".venv").symlink_to(warm.venv())
        return self

    def clean_up(self) -> None:
        """Ends the server and removes the image that a test may have left, also where its verbs are broken by now."""
        if (self.root / "build/local/server.json").exists():
            with contextlib.suppress(psutil.NoSuchProcess):  # which a zombie counts as
                server = psutil.Process(self.read("build/local/server.json")["pid"])
                if str(self.root) in " ".join(server.cmdline()):
                    server.kill()
        if (note := self.root / "build/image.json").exists():
            with contextlib.suppress(docker.errors.DockerException):
                docker.from_env().images.remove(json.loads(note.read_text())["reference"], force=True)

    def write_model(self, text: str = INSTANT, **replaced: str) -> None:
        """model/instant.py as the only model, `replaced` (SLOPE="3.0") or any other text in its place."""
        for name, value in replaced.items():
            text = text.replace(f"{name} = 2.0", f"{name} = {value}")
        (self.root / "model/instant.py").write_text(text)
        self.edit("pyproject.toml", 'models = ["linear_regression"]', 'models = ["instant"]', missing_ok=True)

    def release(self, text: str = INSTANT, **replaced: str) -> str:
        """Commits model/instant.py, and has its release, made here or before. Returns the release's name."""
        self.write_model(text, **replaced)
        self.commit(f"instant {replaced}")
        self.given("train", "evaluate", "export")
        return self.read("build/release/release.json")["id"][:12]

    def given(self, *verbs: str) -> None:
        """What these verbs make, for tests whose point they are not: they run once for all forks of one content."""
        bring(self, verbs)

    def edit(self, path: str, old: str, new: str, missing_ok: bool = False) -> None:
        text = (self.root / path).read_text()
        assert old in text or missing_ok, f"{path} has no {old!r}"
        (self.root / path).write_text(text.replace(old, new))

    def read(self, path: str) -> Any:
        return json.loads((self.root / path).read_text())

    def git(self, *arguments: str, seconds: int | None = None) -> str:
        return _git(self.root, *arguments, seconds=seconds)

    def commit(self, message: str) -> None:
        """Each commit is a second later than the one before: a version is a commit's time."""
        self.seconds += 1
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, seconds=self.seconds)


@functools.cache
def _template() -> Path:
    """The working tree as one commit, with the template's own settings: what this repository has set is not what the tests are about.

    Made once for a process: a fork is a copy of it, with the bytecode that each would otherwise compile for itself.
    """
    root = Path(tempfile.mkdtemp(prefix="template-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for name in filter(None, _git(ROOT, "ls-files", "-zco", "--exclude-standard").split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    settings = root / "pyproject.toml"
    settings.write_text(
        re.sub(r"(?ms)^\[tool\.pipeline\]\n.*?(?=^\[tool\.(?!pipeline))", SETTINGS, settings.read_text())
    )
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "the fork", seconds=FIRST)
    _git(root, "gc", "-q")  # one file in the place of hundreds
    compileall.compile_dir(root / "scripts", quiet=1)
    return root


def _git(root: Path, *arguments: str, seconds: int | None = None) -> str:
    """Standard output; `seconds` is the time of the commits that it makes."""
    date = {"GIT_COMMITTER_DATE": f"{seconds} +0000", "GIT_AUTHOR_DATE": f"{seconds} +0000"} if seconds else {}
    command = ["git", "-c", "user.name=fork", "-c", "user.email=fork@example.com", *arguments]
    return subprocess.run(command, cwd=root, env=os.environ | date, capture_output=True, text=True, check=True).stdout


def run_verb(root: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> Result:
    """`./pipeline ARGUMENTS` in the checkout `root`, without its launcher, in a process that has TensorFlow already."""
    out, err = root.with_suffix(".out"), root.with_suffix(".err")
    code = in_process(_main, str(root), arguments, environment, str(out), str(err))
    return Result(code, out.read_text(), err.read_text())


def in_process(function: Callable[..., None], *arguments: Any) -> int:
    """Calls it in a process that has TensorFlow already. Returns its exit code."""
    process = start_process(function, *arguments)
    process.join()
    return process.exitcode or 0


def start_process(function: Callable[..., None], *arguments: Any) -> Any:
    """Such a process."""
    _serve()
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


@functools.cache
def _serve() -> None:
    with contextlib.chdir(ROOT):  # where it finds what it is to preload
        forkserver.ensure_running()


class Gate:
    """A place in model/instant.py, at the head of the function `head`, at which it waits until the test lets it go on."""

    def __init__(self, fork: Fork, folder: Path, head: str):
        self.path = folder / "gate"
        os.mkfifo(self.path)
        body = INSTANT.index(":\n", INSTANT.index(head)) + 2
        fork.write_model(INSTANT[:body] + f"    open({str(self.path)!r}).read()\n" + INSTANT[body:])

    @contextmanager
    def reached(self) -> Generator[None]:
        """Begins when the function is called, and lets it go on at its end."""
        with self.path.open("w"):  # waits for a reader, who then waits for this end to be closed
            yield


def _main(root: str, arguments: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os._exit(become(root, arguments, environment))


def become(root: str, arguments: Sequence[str], environment: dict[str, str]) -> int:
    """Runs a verb in this process, as if it had been started in the checkout `root`. Returns its exit code."""
    os.environ.clear()  # that of the server which forked it is older
    os.environ.update(environment)
    os.chdir(root)
    sys.path[:] = [root, *(p for p in sys.path if p not in (str(ROOT), ""))]
    from scripts.__main__ import main

    try:
        code = main(list(arguments))
    except SystemExit as end:  # argparse
        code = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
