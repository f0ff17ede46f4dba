"""A release: a folder with `release.json` and `models/NAME/VERSION/`, named by a hash of everything that decides its answers."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.workspace import files
from scripts.workspace.errors import YourTurn

CANDIDATE = Path("build/release")  # a link to the newest of:
STORE = Path("build/releases")  # every release exported here, each in a folder VERSION-ID
SCHEMA = Path(__file__).with_name("release.schema.json")
EXPORT_AGAIN = "./pipeline up, or ./pipeline train && ./pipeline evaluate && ./pipeline export"
# Fields added to release.json after the release is made: its places, and its comparisons. They are not part of its identity.
NOTED = {"image", "volume", "artifacts", "against"}
ARCHITECTURES = ["amd64"]  # of an image of which release.json says no others


@dataclass(frozen=True)
class Release:
    folder: Path
    document: dict[str, Any]  # release.json, valid by its schema

    @property
    def id(self) -> str:
        return self.document["id"]

    @property
    def name(self) -> str:
        """The release's name for people: the first 12 digits of its hash."""
        return self.id[:12]

    @property
    def version(self) -> int:
        return self.document["version"]

    @property
    def label(self) -> str:
        """VERSION-NAME: the release's name in ledgers."""
        return f"{self.version}-{self.name}"

    @property
    def image(self) -> tuple[str, str]:
        """Name and digest of the image. Raises YourTurn if no registry is known to have it."""
        if "image" not in self.document:
            raise YourTurn(f"release {self.name} is in no registry", "./pipeline push")
        return self.document["image"]["name"], self.document["image"]["digest"]

    @property
    def architectures(self) -> list[str]:
        """Those of the nodes that can run the image, as in kubernetes.io/arch."""
        return self.document.get("image", {}).get("architectures", ARCHITECTURES)

    @property
    def made(self) -> dict[str, Any]:
        """The document without NOTED: the same whenever and wherever the release is made."""
        return {key: value for key, value in self.document.items() if key not in NOTED}

    @property
    def images(self) -> dict[str, tuple[str, str]]:
        """Name and digest of each image, by its name in the manifests: the server, and the models if they are a volume."""
        volume = self.document.get("volume")
        return {"serving": self.image} | ({"models": (volume["name"], volume["digest"])} if volume else {})

    def is_called(self, which: str) -> bool:
        """Whether `which` is the release's name or the beginning of it, its version, or VERSION-NAME."""
        return which in (str(self.version), self.label) or self.id.startswith(which)

    @property
    def models(self) -> list[dict[str, Any]]:
        return self.document["models"]

    def model_folder(self, model: dict[str, Any]) -> Path:
        """The SavedModel's folder: `models/NAME/VERSION`."""
        return self.folder / "models" / model["name"] / str(self.version)

    def check_files(self) -> None:
        """Refuses a SavedModel or a LiteRT file that is missing, changed or added."""
        for model in self.models:
            self.check_model(model)
        edge = {Path(file["file"]).name: file["sha256"] for file in self.document.get("edge", [])}
        self._check(self.folder / "edge", edge)

    def check_model(self, model: dict[str, Any]) -> None:
        self._check(self.model_folder(model), model["files"])

    def _check(self, folder: Path, expected: dict[str, str]) -> None:
        here = files.hashes(folder)
        for file in sorted(expected.keys() | here.keys()):
            if here.get(file) != expected.get(file):
                state = "is missing" if file not in here else "differs from release.json"
                raise YourTurn(
                    f"{folder / file} {state}",
                    f"rm -r {self.folder.resolve().relative_to(Path.cwd())}, then {EXPORT_AGAIN}",
                )


def read(folder: Path = CANDIDATE) -> Release:
    """Reads and checks `folder/release.json`. Raises YourTurn where it is missing, corrupt or foreign."""
    file = folder / "release.json"
    try:
        document = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise YourTurn(f"no release yet: there is no {file}", EXPORT_AGAIN) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise YourTurn(f"{file} is corrupt: {error}", EXPORT_AGAIN) from None
    validate(document, str(file))
    return Release(folder, document)


def validate(document: Any, source: str) -> None:
    """Checks `document` against release.schema.json."""
    import fastjsonschema  # imported here, since most verbs do not need it

    try:
        _validator()(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise YourTurn(f"{source} is not a release.json of format 1: {error.message}", EXPORT_AGAIN) from None


@functools.cache
def _validator():
    import fastjsonschema

    return fastjsonschema.compile(json.loads(SCHEMA.read_text()))


def stored(which: str) -> Release:
    """The stored release called `which`: its name or the beginning of it, its version, or both as VERSION-NAME."""
    folders = [
        f
        for f in STORE.glob("[0-9]*")
        if which in (f.name, f.name.partition("-")[0]) or f.name.partition("-")[2].startswith(which)
    ]
    if not folders:
        raise YourTurn(
            f"release {which} is not in {STORE}", "./pipeline history local, and choose one whose files are still there"
        )
    return read(max(folders, key=lambda folder: folder.name))
