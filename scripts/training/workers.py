"""The workers of one training, as TensorFlow's own variable TF_CONFIG names them: who is the first, and how many there are."""

import json
import os
from typing import NamedTuple

from scripts.workspace.errors import YourTurn

VARIABLE = "TF_CONFIG"


class Place(NamedTuple):
    """Of this process among the workers; the first, 0, writes what the training leaves."""

    index: int = 0
    count: int = 1


def here() -> Place:
    """Raises YourTurn for a variable that says neither."""
    if not (text := os.environ.get(VARIABLE)):
        return Place()
    try:
        given = json.loads(text)
        place = Place(int(given["task"]["index"]), len(given["cluster"]["worker"]))
        is_good = given["cluster"].keys() == {"worker"} and 0 <= place.index < place.count
    except (ValueError, LookupError, TypeError, AttributeError):
        is_good = False
    if not is_good:
        wanted = '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
        raise YourTurn(f"{VARIABLE} names no worker of a training: {text}", f"unset it, or set it to {wanted}")
    return place
