"""The models that an environment serves, as files on this computer."""

import tarfile
from pathlib import Path

from scripts.release import engine, releases, volumes
from scripts.release.releases import Release
from scripts.workspace import files
from scripts.workspace.errors import YourTurn

FOLDER = Path("build/served")  # models taken out of images, each release in a folder VERSION-NAME


def with_models(release: Release) -> Release:
    """The same release with its SavedModels on disk: an overlay holds only its release.json.

    The SavedModels come from the local store of exported releases, else from the image, by its digest. Raises YourTurn if neither has
    them.
    """
    if (release.folder / "models").exists():
        return release
    try:
        return releases.stored(release.label)
    except YourTurn:
        pass
    folder = FOLDER / release.label
    if not folder.exists():
        with files.directory(folder) as partial:
            if "models" in release.images:
                volumes.unpack(*release.images["models"], partial / "models")
            else:
                _unpack("@".join(release.image), partial)
    return Release(folder, release.document)


def _unpack(reference: str, folder: Path) -> None:
    """Takes /models out of an image, through a container that is never started."""
    client = engine.client()
    with engine.explained(f"the image {reference} cannot be read"):
        container = client.containers.create(client.images.pull(reference))
        try:
            stream, _ = container.get_archive("/models")
            with (folder / "models.tar").open("wb") as file:
                file.writelines(stream)
        finally:
            container.remove()
    with tarfile.open(folder / "models.tar") as tar:
        tar.extractall(folder, filter="data")
    (folder / "models.tar").unlink()
