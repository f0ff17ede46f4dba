"""Backups of a training, from which one that was ended goes on; and, where there is none, why not."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from scripts.training import models, together, workers
from scripts.workspace import console, files

BACKUP_SECONDS = 60  # between two backups: a training that is ended loses at most this, and the epoch in progress
FILES = ["keras/latest.weights.h5", "keras/training_metadata.json"]  # Keras's own
NOTE_SECONDS = 60  # after which a training without backups says so: a shorter one may as well begin anew
OWN_LOOP = "fit() gives `callbacks` to no fit() of Keras"
UNBUILT = "Keras backs up only a model that is built"
YOUNG = f"it had run for less than {BACKUP_SECONDS} s, or for no whole epoch"
OVER = "only the first fit() of Keras is backed up, and that had ended"


@contextmanager
def kept(module: str) -> Generator[Any]:
    """Gives the callback with which the block trains; its backups are removed when the block has ended well."""
    folder = models.backup(module)
    _say_why_anew(module, folder)
    callback = Backup(module, folder)
    note = threading.Timer(NOTE_SECONDS, callback.say_that_there_is_none)
    note.daemon = True
    note.start()
    try:
        yield callback
    except Exception:
        if not _is_there(folder):  # a mistake in fit(), which is mended before the next
            files.remove(folder.parent)
        raise
    finally:
        note.cancel()
    files.remove(folder.parent)


def _say_why_anew(module: str, folder: Path) -> None:
    """What keeps a training from going on where one that was ended had come to."""
    others = [path for path in folder.parent.glob("*") if path != folder]
    if (folder / "why").exists() and not _is_there(folder):
        console.say(
            f"  train      {module}: begins anew, since what was ended left no backup: {(folder / 'why').read_text()}"
        )
    elif others and not folder.exists():
        console.say(f"  train      {module}: begins anew: what was ended was of other code or data")
    for path in others:
        files.remove(path)


def _is_there(folder: Path) -> bool:
    return (folder / "keras/training_metadata.json").exists()


class Backup(keras.callbacks.BackupAndRestore):
    """Keras's own, of the first fit(), at most once in BACKUP_SECONDS. The file `why` says what there is no backup for.

    Every one of several workers makes it, and all go on from that of the first.
    """

    def __init__(self, module: str, folder: Path):
        super().__init__(str(folder / "keras"))
        self.module, self.folder, self.calls, self.place = module, folder, 0, workers.here()
        self._explain(OWN_LOOP)

    def say_that_there_is_none(self) -> None:
        if self.why in (OWN_LOOP, UNBUILT):
            console.say(f"  note       {self.module}: no backup is kept, since {self.why}: ended, it would begin anew")

    def on_train_begin(self, logs: Any = None) -> None:
        self.last, self.calls = time.monotonic(), self.calls + 1
        self._explain(OVER if self.calls > 1 else YOUNG if self.model.built else UNBUILT)
        if self.why != YOUNG:
            return
        if self.place.count > 1:
            for name in FILES:
                together.spread(self.folder / name)
        super().on_train_begin(logs)
        if begin := getattr(self.model, "_initial_epoch", 0):
            console.say(f"  train      {self.module}: goes on after epoch {begin}, where it was ended")
            console.say(
                "             its weights may differ from those of one that was not: what is random begins anew"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        due = self.why == YOUNG and time.monotonic() - self.last >= BACKUP_SECONDS
        if self.place.count > 1:
            due = together.same(due)
        if due:
            super().on_epoch_end(epoch, logs)
            self.last = time.monotonic()

    def on_train_end(self, logs: Any = None) -> None:
        if self.why == YOUNG:
            super().on_train_end(logs)
            self._explain(OVER)

    def _explain(self, why: str) -> None:
        self.why = why
        files.write(self.folder / "why", why)
