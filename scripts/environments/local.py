"""The environment `local`: the embedded server as a background process of this computer, in build/local/.

`models.config` names the versions served, as an overlay does for a cluster. It is replaced in one step, and the running server follows it:
a new version is available before the old one is unloaded. `history.jsonl` is the ledger.
"""

import json
import os
import socket
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil

from scripts.environments import server
from scripts.environments.client import Endpoint, NoAnswer
from scripts.environments.refusals import Failed
from scripts.environments.target import Environment, Target
from scripts.ledger.entries import Entry
from scripts.release import identity, releases
from scripts.release.releases import Release
from scripts.workspace import console, files, lock, requirements, settings
from scripts.workspace.errors import YourTurn
from scripts.workspace.settings import Settings

FOLDER = Path("build/local")
CONFIG, LEDGER, SERVER, LOG = (
    FOLDER / "models.config",
    FOLDER / "history.jsonl",
    FOLDER / "server.json",
    FOLDER / "server.log",
)
HOST = "127.0.0.1"  # for this computer only; `./pipeline serve --host` is for others
POLL_SECONDS = 0.05  # the server's REST API has no way to wait for a version
STOP_SECONDS = 30  # for requests in flight


class Local(Environment):
    name = "local"

    def __init__(self, settings: Settings):
        self.settings = settings

    def exclusively(self, verb: str) -> AbstractContextManager:
        return lock.held(verb)

    def history(self) -> list[Entry]:
        lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
        return [Entry(**json.loads(line)) for line in lines if line.endswith("}")]  # a power cut may leave half a line

    def record(self, entry: Entry, target: Target | None) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        torn = LEDGER.exists() and not LEDGER.read_text().endswith("\n") and LEDGER.stat().st_size
        with LEDGER.open("a") as ledger:
            ledger.write("\n" * bool(torn) + json.dumps(entry.to_dict()) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())

    def ledger(self) -> str | None:
        last = next((e for e in reversed(self.history()) if e.outcome in ("serving", "stopped")), None)
        return last.release if last and last.outcome == "serving" else None

    def served(self) -> list[str]:
        return [entry.release for entry in self.history() if entry.outcome == "serving"]

    def candidate(self) -> Target:
        release = releases.read()
        if other := _otherwise(release, self.settings.models):
            console.say(f"  note       release {release.name} {other}; ./pipeline up makes one that is of now")
        return Target(release)

    def before(self) -> Target | None:
        served = self.ledger()
        return self.find(served) if served else None

    def find(self, which: str, with_manifests: bool = False) -> Target:
        return Target(releases.stored(which))

    def interrupted(self) -> Entry | None:
        last = next(iter(reversed(self.history())), None)
        return last if last and last.outcome == "started" else None

    def obstacle(self, target: Target) -> str | None:
        try:
            target.release.check_files()
        except YourTurn as error:
            return error.problem
        return None

    @contextmanager
    def endpoints(self) -> Generator[list[Endpoint]]:
        yield [self.endpoint()]

    def endpoint(self) -> Endpoint:
        """Where the running server is: the settings may have changed since it was started."""
        record = _server_record()
        return Endpoint(
            HOST, record.get("rest_port", self.settings.rest_port), record.get("grpc_port", self.settings.grpc_port)
        )

    def drift(self) -> list[str]:
        return []

    def running(self) -> str | None:
        """What the running server was last told to serve."""
        return _server_record().get("release") if self.server() else None

    def server(self) -> psutil.Process | None:
        """The process started here, if it is still alive; not another process that got its number since."""
        record = _server_record()
        try:
            process = psutil.Process(record["pid"])
            alive = process.create_time() == record["created"] and process.status() != psutil.STATUS_ZOMBIE
        except (KeyError, psutil.NoSuchProcess):
            return None
        return process if alive else None

    def prepare(self, target: Target) -> None:
        target.release.check_files()

    def apply(self, target: Target) -> None:
        release = target.release
        for model in release.models:
            self._place(release, model)
        server.write_config(CONFIG, FOLDER / "models", release)
        self.start()
        self._await(release)
        files.write_json(SERVER, _server_record() | {"release": release.label})

    def settle(self, target: Target) -> None:
        """Removes the version directories of the releases before."""
        keep = {FOLDER / "models" / model["name"] / str(target.release.version) for model in target.release.models}
        for path in (FOLDER / "models").glob("*/*"):
            if path not in keep:
                files.remove(path)

    def start(self) -> bool:
        """Starts the server unless it runs; without a `models.config` it serves nothing yet. Returns whether it was started."""
        if self.server():
            return False
        ports = {"rest_port": self.settings.rest_port, "grpc_port": self.settings.grpc_port}
        for name, port in ports.items():
            refuse_taken(name, port)
        requirements.ensure("serve")
        if not CONFIG.exists():
            server.write_config(CONFIG, FOLDER / "models", None)
        with server.spawned(server.command(CONFIG, HOST, **ports), LOG) as pid:
            files.write_json(SERVER, {"pid": pid, "created": psutil.Process(pid).create_time(), **ports})
        return True

    def stop(self) -> bool:
        """Stops the server and waits until it is gone. Returns whether there was one."""
        process = self.server()
        if process:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()
        SERVER.unlink(missing_ok=True)
        return bool(process)

    def _place(self, release: Release, model: dict) -> None:
        """Puts a version directory in its place in one step; the files are shared with the store, not copied."""
        source, target = release.model_folder(model), FOLDER / "models" / model["name"] / str(release.version)
        if target.exists() and files.hashes(target) == model["files"]:
            return
        with files.directory(target) as folder:
            files.link_tree(source, folder)

    def _await(self, release: Release) -> None:
        """Returns when each model of `release` is available in its version and no other."""
        deadline = time.monotonic() + self.settings.ready_timeout_seconds
        endpoint, waiting = self.endpoint(), [model["name"] for model in release.models]
        while waiting := [name for name in waiting if not _is_switched(endpoint, name, release.version)]:
            if not self.server():
                raise Failed(f"the server ended: {_last_words()}", f"look at {LOG}")
            if time.monotonic() > deadline:
                problem = (
                    f"{', '.join(waiting)} not available after {self.settings.ready_timeout_seconds} s: {_last_words()}"
                )
                raise Failed(problem, f"look at {LOG}, or raise ready_timeout_seconds in pyproject.toml")
            time.sleep(POLL_SECONDS)


def read() -> Local:
    return Local(settings.read())


def _otherwise(release: Release, modules: list[str]) -> str | None:
    """How the release differs from an export made now."""
    held = list(dict.fromkeys(model["module"] for model in release.models))
    if set(held) != set(modules):
        return f"holds {', '.join(held)}, and pyproject.toml names {', '.join(modules)}"
    try:
        return None if release.id == identity.of_release(held) else "is not of model/ as it is now"
    except (OSError, SyntaxError):
        return "is not of model/ as it is now"


def refuse_taken(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: a closed connection may still occupy the port
        try:
            probe.bind((HOST, port))
        except OSError as error:
            problem = f"port {port} is taken{_by_whom(port)}: {error.strerror}"
            raise YourTurn(problem, f"stop that, or set {name} in [tool.pipeline] of pyproject.toml") from None


def _by_whom(port: int) -> str:
    try:
        pids = [
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid
        ]
        return f" by {psutil.Process(pids[0]).name()} (process {pids[0]})" if pids else ""
    except psutil.Error:
        return ""  # other users' processes are hidden on some systems


def _server_record() -> dict:
    try:
        return json.loads(SERVER.read_text())
    except (OSError, ValueError):
        return {}


def _is_switched(endpoint: Endpoint, model: str, version: int) -> bool:
    try:
        states = endpoint.status(model)
    except NoAnswer:
        return False  # not listening yet, or not told of this model yet
    state, message = states.get(version, ("", ""))
    if state == "END" and message:
        raise Failed(f"{model} version {version} does not load: {message}", f"look at {LOG}")
    return {v for v, (s, _) in states.items() if s != "END"} == {version} and state == "AVAILABLE"


def _last_words() -> str:
    lines = LOG.read_text(errors="replace").strip().splitlines() if LOG.exists() else []
    return lines[-1] if lines else "its log is empty"
