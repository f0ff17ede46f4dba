"""What a training leaves, sent to a registry and brought from there; and its backups, from which one goes on on another machine."""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from scripts.release import artifacts, identity
from scripts.release.registry import Repository
from scripts.training import models
from scripts.workspace import console, files
from scripts.workspace.errors import YourTurn

TRAINING, BACKUP = "application/vnd.pipeline.training.v1", "application/vnd.pipeline.backup.v1"
NOTE = "history.json"  # written last: with it, a training is complete
MADE = "keras/training_metadata.json"  # the last that Keras writes of a backup
LOOK_SECONDS = 2
SHARE = 20  # at most one part in so many of the time goes into sending backups


def tag(module: str, quick: bool = False) -> str:
    """The name of a training: the same code, data and packages give the same."""
    return f"{module}-{identity.of_model(module).trained[:12]}{'-quick' * quick}"


def send(module: str, repository: Repository) -> str:
    """Pushes the trained network and its history, as one artifact. Returns its digest."""
    folder, quick = models.folder(module), models.record(module, NOTE, "train", quick=True)["quick"]
    state = models.state(module)
    network = {f"{state.name}/{name}": path for name, path in _files(state).items()}
    return artifacts.push(repository, TRAINING, network | {NOTE: folder / NOTE}, tag(module, quick))


def bring(module: str, repository: Repository, reference: str) -> None:
    """Puts the training of that tag or digest where one of this computer would leave it. Raises YourTurn for one of other code."""
    folder = models.folder(module)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        artifacts.pull(repository, reference, Path(place))
        with files.directory(models.state(module)) as state:
            if (network := Path(place, models.state(module).name)).exists():
                files.link_tree(network, state)
        files.write(folder / NOTE, (Path(place) / NOTE).read_bytes())
    models.record(module, NOTE, "train", quick=True)


@contextmanager
def backed_up(module: str, repository: Repository) -> Generator[None]:
    """Begins with the backup that an ended training of this code has left in the registry, and sends each one that the block makes.

    When the block has ended well, an empty one is put in its place: the next training begins anew. Not every registry lets delete.
    """
    folder, name = models.backup(module), f"{tag(module)}-backup"
    if not (folder / MADE).exists() and repository.has(name):
        artifacts.pull(repository, name, folder)
    done = threading.Event()
    sender = threading.Thread(target=_send_backups, args=(folder, repository, name, done), daemon=True)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()
    if repository.has(name):
        artifacts.push(repository, BACKUP, {}, name)


def _send_backups(folder: Path, repository: Repository, name: str, done: threading.Event) -> None:
    sent, rest, said = _made(folder), 0.0, False
    while not done.wait(max(LOOK_SECONDS, rest)):
        if (made := _made(folder)) in (0, sent):
            continue
        begin = time.monotonic()
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir="build") as place:
            shutil.copytree(folder, place, dirs_exist_ok=True)
            if any(path.stat().st_mtime_ns > made for path in folder.rglob("*") if path.is_file()):
                continue  # Keras has begun to write the next one
            try:
                artifacts.push(repository, BACKUP, _files(Path(place)), name)
                if not said:
                    console.say(f"  backup     kept as {repository.name}:{name}, from which another one would go on")
                said = True
            except YourTurn as error:
                console.say(f"  note       this backup was not sent: {error.problem}")
            sent = made
        rest = SHARE * (time.monotonic() - begin)


def _files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _made(folder: Path) -> int:
    """When the backup there was made; 0 if there is none."""
    try:
        return (folder / MADE).stat().st_mtime_ns
    except OSError:
        return 0
