"""The weights of a trained network."""

import h5py

from tests.support.fork import Fork


def weights(fork: Fork, module: str = "instant") -> dict[str, list]:
    """Of the network that was trained, by the path of each: the file around them holds the time, too."""
    found: dict[str, list] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist()

    with h5py.File(fork.root / f"build/{module}/model/model.weights.h5") as file:
        file.visititems(note)
    return found
