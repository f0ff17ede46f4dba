"""Metrics under TensorFlow Serving's names, in Prometheus' text form."""

from bisect import bisect_left
from collections.abc import Iterable

_PREFIX = ":tensorflow:serving:"
MAX_NAMES = 200  # of models that do not exist: who asks for them must not fill the memory


def _exponential(start: float, factor: float, count: int) -> list[float]:
    return [start * factor**power for power in range(count)]


# Metrics of what this server does not have: they are named so that a dashboard finds them, and never counted.
_MLMD, _LOGGED = f"# TYPE {_PREFIX}mlmd_map gauge", f"# TYPE {_PREFIX}request_log_count counter"

_LATENCY = _exponential(10, 1.8, 33)
_QUEUING = _exponential(100, 1.2, 52)


class Counter:
    """A number for each combination of label values."""

    def __init__(self, name: str, *labels: str) -> None:
        self._name, self._labels = _PREFIX + name, labels
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, amount: int = 1) -> None:
        self._values[labels] = self._values.get(labels, 0) + amount

    def lines(self) -> Iterable[str]:
        yield f"# TYPE {self._name} counter"
        for labels, value in sorted(self._values.items()):
            yield f"{self._name}{_braced(self._labels, labels)} {value}"


class Histogram:
    """A distribution for each combination of label values."""

    def __init__(self, name: str, bounds: list[float], *labels: str) -> None:
        self._name, self._bounds, self._labels = _PREFIX + name, bounds, labels
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, value: float, *labels: str) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        cell[0][bisect_left(self._bounds, value)] += 1
        cell[1][0] += value

    def lines(self) -> Iterable[str]:
        yield f"# TYPE {self._name} histogram"
        for labels, (counts, (total,)) in sorted(self._cells.items()):
            reached = 0
            for bound, count in zip([*self._bounds, float("inf")], counts, strict=True):
                reached += count
                edge = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield f"{self._name}_bucket{_braced((*self._labels, 'le'), (*labels, edge))} {reached}"
            braced = _braced(self._labels, labels)
            yield f"{self._name}_sum{braced} {round(total)}"
            yield f"{self._name}_count{braced} {reached}"


def _braced(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """All of them. Times come in seconds and are shown in microseconds."""

    def __init__(self) -> None:
        self._requests = Counter("request_count", "model_name", "status")
        self._latency = Histogram("request_latency", _LATENCY, "model_name", "API", "entrypoint")
        self._runtime = Histogram("runtime_latency", _LATENCY, "model_name", "API", "runtime")
        self._warmup = Histogram("model_warmup_latency", _LATENCY, "model_path", "status")
        self._queuing = Histogram("batching_session:queuing_latency", _QUEUING, "thread_pool_name")
        self._example_counts = Histogram("request_example_counts", _exponential(1, 2, 15), "model")
        self._examples = Counter("request_example_count_total", "model")
        self._runs = Counter("batching_session:wrapped_run_count")
        self._strangers: set[str] = set()

    def request(self, model: str, api: str, entrypoint: str, status: str, seconds: float, known: bool = True) -> None:
        """One request was answered; latency counts only if it went well."""
        if not known and model not in self._strangers:
            if len(self._strangers) >= MAX_NAMES:
                model = ""
            else:
                self._strangers.add(model)
        self._requests.add(model, status)
        if status == "OK":
            self._latency.add(seconds * 1e6, model, api, entrypoint)

    def run(self, model: str, api: str, seconds: float) -> None:
        """TensorFlow ran for `seconds`."""
        self._runtime.add(seconds * 1e6, model, api, "TF1")

    def warmup(self, path: str, status: str, seconds: float) -> None:
        self._warmup.add(seconds * 1e6, path, status)

    def batch(self, waits: Iterable[float]) -> None:
        """A batch ran; each of its requests had waited so many seconds."""
        self._runs.add()
        for seconds in waits:
            self._queuing.add(seconds * 1e6, "model_server_batch_threads")

    def examples(self, model: str, count: int) -> None:
        self._example_counts.add(count, model)
        self._examples.add(model, amount=count)

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        families = (
            *(self._queuing.lines(), self._runs.lines(), [_MLMD], self._warmup.lines(), self._requests.lines()),
            *(self._examples.lines(), self._example_counts.lines(), self._latency.lines(), [_LOGGED]),
            self._runtime.lines(),
        )
        return "".join(f"{line}\n" for family in families for line in family).encode()
