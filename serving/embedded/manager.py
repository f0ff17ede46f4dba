"""The model manager: which versions exist on disk, which are wanted, which are served.

One thread looks at the disk, loads and unloads. A new version is available before an old one is retired, and a
version that cannot be loaded never replaces one that can. Front ends only read: `servable()` and `statuses()`.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import errors
from .errors import StatusError, invalid, not_found
from .protos import get_model_status_pb2, model_server_config_pb2
from .servable import Servable

log = logging.getLogger("manager")

_STATES = get_model_status_pb2.ModelVersionStatus
START, LOADING, AVAILABLE, UNLOADING, END = (
    _STATES.START,
    _STATES.LOADING,
    _STATES.AVAILABLE,
    _STATES.UNLOADING,
    _STATES.END,
)
STATE_NAMES = {START: "START", LOADING: "LOADING", AVAILABLE: "AVAILABLE", UNLOADING: "UNLOADING", END: "END"}


@dataclass(eq=False)
class Version:
    """A version that has been wanted at some time in the life of this process."""

    model: str
    number: int
    path: Path
    state: int = START
    error: StatusError | None = None
    wanted: bool = True
    servable: Servable | None = None
    attempts: int = 0
    next_attempt: float = 0.0
    fingerprint: tuple = ()  # of the files when the last attempt began
    gone: bool = False  # has been off the disk since it ended

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"


@dataclass
class Model:
    """A model of the configuration, with every version seen so far."""

    config: model_server_config_pb2.ModelConfig
    labels: dict[str, int] = field(default_factory=dict)
    seen: bool = False  # its folder has been read and held a version that is wanted


@dataclass(frozen=True)
class Options:
    """How the manager polls and loads. `load` makes a warmed-up servable or raises `StatusError`."""

    load: Callable[[str, int, Path], Servable]
    poll_seconds: float = 1.0
    max_load_retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 0
    allow_labels_for_unavailable: bool = False


class Manager:
    """Serves the models of a `ModelConfigList`; `apply` may be called again with another one at any time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._models: dict[str, Model] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        # What requests look up: replaced as a whole under the lock, read without it.
        self._served: dict[str, dict[int, Servable]] = {}
        self._latest: dict[str, Servable] = {}
        self._changed = threading.Condition()
        self._apply_lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = self._started = False
        self._next_poll = 0.0
        self._loaders = ThreadPoolExecutor(max(1, options.load_threads), "load")
        self._unloaders = ThreadPoolExecutor(4, "unload")
        self._busy: set[Version] = set()
        self._thread = threading.Thread(target=self._run, name="manager", daemon=True)

    # --- what requests need ---

    def servable(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The servable for a request, acquired: the caller must release it. Raises NOT_FOUND as TensorFlow Serving does."""
        while True:
            found = self._lookup(name, version, label)
            if found.acquire():
                return found

    def _lookup(self, name: str, version: int | None, label: str | None) -> Servable:
        if label:
            model = self._models.get(name)
            version = model.labels.get(label) if model else None
            if version is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        if version is None:
            found = self._latest.get(name)
            if found is None:
                raise not_found(f"Servable not found for request: Latest({name})")
            return found
        found = self._served.get(name, {}).get(version)
        if found is None:
            raise not_found(f"Servable not found for request: Specific({name}, {version})")
        return found

    def statuses(self, name: str, version: int | None = None) -> list[Version]:
        """Every version of the model this process has known, newest first, or the one asked for."""
        known = self._versions.get(name)
        if not known:
            raise not_found(f"Could not find any versions of model {name}")
        if version is None:
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise not_found(f"Could not find version {version} of model {name}")
        return [known[version]]

    def ready(self, name: str | None = None) -> bool:
        """Whether the model (or, without a name, every configured model) has a version to answer with."""
        if name is not None:
            return name in self._latest
        return all(model in self._latest for model in self._models)

    def names(self) -> list[str]:
        return list(self._models)

    # --- configuration ---

    def start(self) -> None:
        self._thread.start()

    def apply(self, config: model_server_config_pb2.ModelConfigList, timeout: float | None = None) -> None:
        """Makes `config` the list of models and returns when those that are new have been loaded.

        Raises `StatusError` if the list is refused (nothing has changed then), if a new model does not load, or if
        `timeout` seconds pass. A later call does not wait for an earlier one.
        """
        with self._apply_lock:
            self._check(config.config)
            fresh = self._replace(config.config)
        self._next_poll = 0.0
        self._wake.set()
        self._await(fresh, timeout)

    def _check(self, configs: Sequence[model_server_config_pb2.ModelConfig]) -> None:
        names = set()
        for config in configs:
            if config.name in names:
                raise invalid(f"Illegal to list model {config.name} multiple times in config list")
            names.add(config.name)
        for config in configs:
            if config.name in self._models and config.model_platform not in ("", "tensorflow"):
                raise invalid(
                    f"Illegal to change a model's platform. For model {config.name} platform was tensorflow and new "
                    f"platform requested is {config.model_platform}"
                )
        for config in configs:
            self._check_labels(config)
        for config in configs:
            self._check_source(config)

    def _check_source(self, config: model_server_config_pb2.ModelConfig) -> None:
        if not config.model_platform and not config.model_type:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {config.name}"
            )
        if config.model_platform not in ("", "tensorflow"):
            raise invalid(f"Model {config.name} is for the platform {config.model_platform}; only tensorflow is served")
        if not config.base_path.startswith("/"):
            raise invalid(
                f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
            )

    def _check_labels(self, config: model_server_config_pb2.ModelConfig) -> None:
        """Refuses a label for a version that is not available, unless the option allows it and the label does not move."""
        known = self._models.get(config.name)
        for label, number in sorted(config.version_labels.items()):
            version = self._versions.get(config.name, {}).get(number)
            if version and version.state == AVAILABLE:
                continue
            moves = known is not None and known.labels.get(label, number) != number
            if moves or not self._options.allow_labels_for_unavailable:
                raise StatusError(
                    errors.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    "available for inference",
                )

    def _replace(self, configs: Sequence[model_server_config_pb2.ModelConfig]) -> dict[str, Model]:
        """Installs the list; the models that are new in it, by name."""
        with self._changed:
            models = {}
            for config in configs:
                known = self._models.get(config.name)
                if known is None:
                    log.info("Adding model %s from %s", config.name, config.base_path)
                models[config.name] = Model(config, dict(config.version_labels), seen=bool(known and known.seen))
            for name in self._models.keys() - models.keys():
                log.info("Removing model %s", name)
                for version in self._versions.get(name, {}).values():
                    version.wanted = False
            fresh = {name: model for name, model in models.items() if name not in self._models}
            self._models = models
            self._changed.notify_all()  # wakes whoever waits for a model that has just been removed
            return fresh

    def _await(self, fresh: dict[str, Model], timeout: float | None) -> None:
        """Until each of these models has been seen on disk and each of its wanted versions has loaded or failed."""

        def settled(name: str, model: Model) -> bool:
            if self._models.get(name) is not model:
                return True  # replaced meanwhile; that call answers for it
            return model.seen and all(version.state in (AVAILABLE, END) for version in self._wanted(name))

        with self._changed:
            done = self._changed.wait_for(
                lambda: self._stopping or all(settled(name, model) for name, model in fresh.items()), timeout
            )
            failed = [version for name in fresh for version in self._wanted(name) if version.error]
        if not done:
            raise StatusError(errors.DEADLINE_EXCEEDED, f"Not loaded yet: {', '.join(sorted(fresh))}")
        if failed:
            # TensorFlow Serving words this in one way at the start and in another one afterwards.
            kind = "model" if self._started else "servable"
            parts = "".join(f"{{{version} due to error: {version.error}}}, " for version in failed)
            raise StatusError(errors.UNKNOWN, f"{len(failed)} {kind}(s) did not become available: {{{parts}}}")
        self._started = True

    def _wanted(self, name: str) -> list[Version]:
        return [version for version in self._versions.get(name, {}).values() if version.wanted]

    # --- the manager's thread ---

    def _run(self) -> None:
        while not self._stopping:
            if self._time_to_poll():
                self._poll()
            self._act()
            self._wake.wait(0.1)
            self._wake.clear()

    def _time_to_poll(self) -> bool:
        """Each period; with a period of 0 only until every model has been found."""
        now, period = time.monotonic(), self._options.poll_seconds
        if now < self._next_poll:
            return False
        if period <= 0 and self._next_poll and all(model.seen for model in self._models.values()):
            return False
        self._next_poll = now + (period if period > 0 else 1)
        return True

    def _poll(self) -> None:
        for name, model in list(self._models.items()):
            base = model.config.base_path
            try:
                found = _versions_on_disk(Path(base))
            except OSError as error:
                log.error("Could not find base path %s for servable %s: %s", base, name, error.strerror)
                continue
            wanted = _apply_policy(name, model.config, found)
            if not found:
                log.warning("No versions of servable %s found under base path %s", name, base)
            with self._changed:
                if self._models.get(name) is model:
                    self._want(name, wanted)
                    model.seen = model.seen or bool(wanted)
                    self._changed.notify_all()

    def _want(self, name: str, wanted: dict[int, Path]) -> None:
        """Notes which versions should be served. One that ended is tried again when there is a reason to."""
        known = self._versions.setdefault(name, {}) if wanted else self._versions.get(name, {})
        for number, version in known.items():
            version.wanted = number in wanted
            version.gone = version.gone or (version.state == END and not version.wanted)
        for number, path in wanted.items():
            version = known.get(number)
            if version is None or (version.state == END and _worth_a_try(version, path)):
                known[number] = Version(name, number, path)

    def _act(self) -> None:
        """Unloads what is no longer wanted, and starts the loads that are due, the newest version first."""
        now = time.monotonic()
        with self._changed:
            for name, versions in self._versions.items():
                self._unload_unwanted(name, versions)
                due = [
                    version
                    for version in versions.values()
                    if version.wanted and version.state in (START, LOADING) and version.next_attempt <= now
                ]
                for version in sorted(due, key=lambda version: -version.number):
                    if version not in self._busy and not self._stopping:
                        self._busy.add(version)
                        self._loaders.submit(self._load, version)

    def _unload_unwanted(self, name: str, versions: dict[int, Version]) -> None:
        wanted = [version for version in versions.values() if version.wanted]
        if wanted and not any(version.state == AVAILABLE for version in wanted):
            return  # nothing could take over yet
        for version in versions.values():
            if version.wanted:
                continue
            if version.state == AVAILABLE:
                version.state = UNLOADING
                self._publish(name)
                self._unloaders.submit(self._unload, version)
            elif version.state in (START, LOADING) and version not in self._busy:
                version.state = END

    def _load(self, version: Version) -> None:
        version.state = LOADING
        version.attempts += 1
        version.fingerprint = _fingerprint(version.path)
        started = time.monotonic()
        try:
            servable = self._options.load(version.model, version.number, version.path)
        except StatusError as error:
            self._load_failed(version, error)
        except Exception as error:
            log.exception("Loading servable %s", version)
            self._load_failed(version, StatusError(errors.INTERNAL, str(error)))
        else:
            log.info("Loaded servable %s in %.3f s", version, time.monotonic() - started)
            with self._changed:
                version.servable, version.state = servable, AVAILABLE
                self._publish(version.model)
        with self._changed:
            self._busy.discard(version)
            self._changed.notify_all()
        self._wake.set()

    def _load_failed(self, version: Version, error: StatusError) -> None:
        message = str(error).replace("\n", " ")
        retries = self._options.max_load_retries
        if version.attempts <= retries and version.wanted and not self._stopping:
            log.error("Loading servable %s failed: %s; retry %d of %d", version, message, version.attempts, retries)
            version.next_attempt = time.monotonic() + max(0.0, self._options.retry_seconds)
            return
        log.error("Servable %s cannot be loaded: %s", version, message)
        with self._changed:
            version.error, version.state = error, END

    def _unload(self, version: Version) -> None:
        servable, version.servable = version.servable, None
        if servable:
            servable.retire()
        with self._changed:
            version.state = END
            self._changed.notify_all()
        log.info("Unloaded servable %s", version)

    def _publish(self, name: str) -> None:
        served = {
            number: version.servable
            for number, version in self._versions.get(name, {}).items()
            if version.state == AVAILABLE and version.servable
        }
        self._served[name] = served
        if served:
            self._latest[name] = served[max(served)]
        else:
            self._latest.pop(name, None)

    def stop(self) -> None:
        """Ends the thread. What is loaded stays loaded: the process is about to end."""
        self._stopping = True
        with self._changed:
            self._changed.notify_all()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2)
        self._loaders.shutdown(wait=False, cancel_futures=True)


def _worth_a_try(version: Version, path: Path) -> bool:
    """Whether a version that ended should be loaded again: it was only unloaded, was away, or its files changed."""
    return version.error is None or version.gone or _fingerprint(path) != version.fingerprint


def _fingerprint(path: Path) -> tuple:
    """Size and time of the files that loading reads."""
    marks = []
    for file in (path / "saved_model.pb", path / "variables"):
        try:
            for each in sorted(file.iterdir()) if file.is_dir() else [file]:
                status = each.stat()
                marks.append((each.name, status.st_mtime_ns, status.st_size))
        except OSError:
            marks.append((file.name, 0, 0))
    return tuple(marks)


def _versions_on_disk(base: Path) -> dict[int, Path]:
    """The entries under `base` that have an integer for a name. Raises OSError if `base` cannot be read."""
    found: dict[int, Path] = {}
    for entry in sorted(base.iterdir(), key=lambda entry: (len(entry.name), entry.name)):
        if not (entry.name.isascii() and entry.name.isdecimal()):
            continue
        number = int(entry.name)
        if number in found:
            log.warning("Version %d is loaded from %s, %s is ignored", number, found[number].name, entry.name)
        elif number < 1 << 63:
            found[number] = entry
    return found


def _apply_policy(name: str, config: model_server_config_pb2.ModelConfig, found: dict[int, Path]) -> dict[int, Path]:
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        for number in policy.specific.versions:
            if number not in found:
                log.warning("Version %d of servable %s, requested as a specific version, was not found", number, name)
        return {number: path for number, path in found.items() if number in policy.specific.versions}
    count = max(1, policy.latest.num_versions)
    return {number: found[number] for number in sorted(found, reverse=True)[:count]}
