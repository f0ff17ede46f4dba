"""What the processes of one run of the tests share: made by the first that asks."""

import fcntl
import json
from collections.abc import Callable
from typing import Any

import pytest


def once(factory: pytest.TempPathFactory, config: pytest.Config, name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns, as JSON gives it back. One process calls it, and the others wait."""
    own = factory.getbasetemp()
    place = (own.parent if hasattr(config, "workerinput") else own) / f"{name}.json"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            made = json.dumps(make())
            place.write_text(made)
    return json.loads(place.read_text())
