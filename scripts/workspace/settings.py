"""The settings: `[tool.pipeline]` in pyproject.toml. An unknown key is refused with the nearest known one."""

import difflib
import tomllib
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from scripts.workspace import canaries, provisions, windows
from scripts.workspace.canaries import Canary
from scripts.workspace.errors import YourTurn

FILE = Path("pyproject.toml")
BUILDS = ["cpu", "cuda"]
WISHES = ["where-possible", "required"]
SERVERS = ["tensorflow-serving", "embedded"]
PLATFORMS = ["linux/amd64", "linux/arm64"]
WAYS = ["commit", "pull-request"]
TEXTS = ["context", "mirror"]  # of an environment: any string


@dataclass(frozen=True)
class Settings:
    """What a fork may set; each field's comment stands beside it in pyproject.toml."""

    models: list[str]
    rest_port: int = 8501
    grpc_port: int = 8500
    image: str = ""
    model_volume: bool = False
    server: str = "tensorflow-serving"
    platforms: list[str] = field(default_factory=list)
    tensorflow: str = "cpu"
    ready_timeout_seconds: int = 300
    attestation: str = "where-possible"
    retired: list[str] = field(default_factory=list)
    training: dict = field(default_factory=dict)
    environments: dict = field(default_factory=dict)

    def provision(self, model: str) -> provisions.Provision:
        """What a training of model/MODEL.py in a cluster is given."""
        return provisions.read(self.training, model)

    def context(self, environment: str) -> str:
        """kubectl's context for the environment; empty if unset."""
        return self.environments.get(environment, {}).get("context", "")

    def mirror(self, environment: str) -> str:
        """REGISTRY[/PATH] before the path of an image that the environment's nodes may pull from its mirror; empty if there is none."""
        return self.environments.get(environment, {}).get("mirror", "")

    def by(self, environment: str) -> str:
        """How a release is promoted: by a commit or a pull request. By default the first environment takes commits, the others requests."""
        first = next(iter(self.environments), environment)
        return self.environments.get(environment, {}).get("by", "commit" if environment == first else "pull-request")

    def freeze(self, environment: str) -> list[windows.Window]:
        """The windows in which nothing may be deployed to the environment."""
        return windows.read(self.environments.get(environment, {}).get("freeze", []))

    def canary(self, environment: str) -> Canary | None:
        """How a new release meets a little traffic there first; None if it meets all at once."""
        table = self.environments.get(environment, {}).get("canary")
        return canaries.read(table) if table is not None else None


def text() -> str:
    """The text of the file, with its own line ends, and without the byte order mark that some editors write."""
    try:
        return FILE.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"{FILE} is not in UTF-8: {error.reason} at byte {error.start}"
        raise YourTurn(problem, f"save {FILE} as UTF-8") from None


def read() -> Settings:
    return _parsed(text())


@lru_cache(maxsize=1)  # each environment is asked for its own
def _parsed(text: str) -> Settings:
    try:
        table = tomllib.loads(text).get("tool", {}).get("pipeline", {})
    except tomllib.TOMLDecodeError as error:
        raise YourTurn(f"{FILE} is not valid TOML: {error}", f"edit {FILE}") from None
    known = {field.name: field.type for field in fields(Settings)}
    for key, value in table.items():
        if key not in known:
            raise YourTurn(f"unknown setting {key!r} in [tool.pipeline]{did_you_mean(key, known)}", f"edit {FILE}")
        _check_type(key, value, known[key])
    _check_environments(table.get("environments", {}))
    _check_training(table.get("training", {}))
    for key, choices in (("attestation", WISHES), ("server", SERVERS), ("tensorflow", BUILDS)):
        if (chosen := table.get(key, choices[0])) not in choices:
            problem = f"setting {key!r} in [tool.pipeline] must be {' or '.join(map(repr, choices))}, not {chosen!r}"
            raise YourTurn(problem, f"edit {FILE}")
    _check_platforms(table.get("platforms", []), table.get("server", SERVERS[0]))
    if not table.get("models"):
        raise YourTurn(
            'no setting "models" in [tool.pipeline]: nothing to train', f'edit {FILE}: models = ["linear_regression"]'
        )
    return Settings(**table)


def _check_platforms(platforms: list[str], server: str) -> None:
    for platform in platforms:
        refuse_unknown("platform", platform, PLATFORMS)
    if len(set(platforms)) < len(platforms):
        raise YourTurn("setting 'platforms' in [tool.pipeline] names one twice", f"edit {FILE}")
    if server == "tensorflow-serving" and PLATFORMS[1] in platforms:
        problem = f"platforms in [tool.pipeline] names {PLATFORMS[1]}, for which TensorFlow Serving has no image"
        raise YourTurn(problem, f'edit {FILE}: server = "embedded"')


def _check_environments(environments: dict[str, dict]) -> None:
    for name, values in environments.items():
        for key, value in values.items():
            if key == "freeze":
                _check_freeze(name, value)
            elif key == "canary":
                _check_canary(name, value)
            elif not isinstance(value, str) or not (key in TEXTS or (key == "by" and value in WAYS)):
                there_is = f'context = "…", by = {" or ".join(WAYS)}, freeze = ["…"], mirror = "…", canary = {{ … }}'
                problem = f"[tool.pipeline.environments.{name}] has {key} = {value!r}; there is: {there_is}"
                raise YourTurn(problem, f"edit {FILE}")


def _check_freeze(name: str, value: object) -> None:
    try:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise windows.Wrong(f"must be a list of strings, not {value!r}")
        windows.read(value)
    except windows.Wrong as error:
        raise YourTurn(f"freeze in [tool.pipeline.environments.{name}]: {error}", f"edit {FILE}") from None


def _check_canary(name: str, value: object) -> None:
    try:
        canaries.read(value)
    except canaries.Wrong as error:
        raise YourTurn(f"canary in [tool.pipeline.environments.{name}]: {error}", f"edit {FILE}") from None


def _check_training(table: dict) -> None:
    try:
        provisions.read(table)
    except provisions.Wrong as error:
        raise YourTurn(f"[tool.pipeline.training] {error}", f"edit {FILE}") from None


def refuse_unknown(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise YourTurn(f"no {kind} {name!r}{did_you_mean(name, known)}", "name one of these")


def did_you_mean(word: str, known) -> str:
    """`; did you mean 'x'?` if a known word is near, else the list of all."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there is: {', '.join(known)}"


def _check_type(key: str, value: object, expected: object) -> None:
    good = (
        isinstance(value, list) and all(isinstance(v, str) for v in value)
        if expected == list[str]
        else type(value) is expected
    )
    if not good:
        words = {int: "a whole number", str: "a string", dict: "a table", bool: "true or false"}
        wanted = words.get(expected, "a list of strings")
        raise YourTurn(f"setting {key!r} in [tool.pipeline] must be {wanted}, not {value!r}", f"edit {FILE}")
