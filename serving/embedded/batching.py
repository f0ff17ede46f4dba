"""Batching across concurrent requests, with TensorFlow Serving's parameters.

Requests for the same plan whose tensors agree in everything but their first dimension are run as one. Batches of one
queue run one after the other on a pool of `num_batch_threads`; a queue holds at most `max_enqueued_batches` more.
A request that fails in a batch is run again alone, so that it takes no other one down with it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import errors
from .errors import StatusError, invalid
from .execution import Call, Job, timed_out, unexpected
from .tensorflow_c import RunOptions
from .tensors import STRING, Tensor


@dataclass(frozen=True)
class Parameters:
    """BatchingParameters, with TensorFlow Serving's defaults."""

    max_batch_size: int = 1000
    timeout_seconds: float = 0.0
    max_enqueued_batches: int = 10
    threads: int = 1
    allowed_sizes: tuple[int, ...] = ()
    pad: bool = False

    def __post_init__(self) -> None:
        if self.max_batch_size < 1:
            raise invalid(f"max_batch_size must be positive; was {self.max_batch_size}")
        if self.threads < 1:
            raise invalid(f"num_batch_threads must be positive; was {self.threads}")
        if self.timeout_seconds < 0:
            raise invalid("batch_timeout_micros must be non-negative")
        if list(self.allowed_sizes) != sorted(set(self.allowed_sizes)):
            raise invalid("allowed_batch_sizes entries must be monotonically increasing")
        if self.allowed_sizes and self.allowed_sizes[-1] != self.max_batch_size:
            raise invalid("final entry in allowed_batch_sizes must equal max_batch_size")

    def padded(self, size: int) -> int:
        """The smallest allowed batch size that holds `size`."""
        return next((allowed for allowed in self.allowed_sizes if allowed >= size), size)


@dataclass(slots=True)
class Task:
    """A request that waits: `rows` is its first dimension, `future` gets its result."""

    job: Job
    call: Call
    rows: int
    future: asyncio.Future
    since: float
    ended: float | None = None  # None unless it went well


@dataclass
class Queue:
    """The requests that may be batched with each other."""

    parameters: Parameters
    tasks: deque[Task] = field(default_factory=deque)
    running: int = 0
    timer: asyncio.TimerHandle | None = None

    def batches(self) -> int:
        """How many batches the waiting requests will make."""
        count, rows = 0, 0
        for task in self.tasks:
            if not count or rows + task.rows > self.parameters.max_batch_size:
                count, rows = count + 1, 0
            rows += task.rows
        return count

    def take(self) -> list[Task]:
        """The next batch."""
        batch: list[Task] = []
        rows = 0
        while self.tasks and (not batch or rows + self.tasks[0].rows <= self.parameters.max_batch_size):
            rows += self.tasks[0].rows
            batch.append(self.tasks.popleft())
        return batch

    def is_due(self, now: float) -> bool:
        """Whether the first batch is full or has waited long enough."""
        if now - self.tasks[0].since >= self.parameters.timeout_seconds:
            return True
        rows = 0
        for task in self.tasks:
            if rows + task.rows > self.parameters.max_batch_size:
                return True
            rows += task.rows
        return rows >= self.parameters.max_batch_size


class Batcher:
    """Batches calls on the event loop; `parameters_of(call)` is None for a model that is not to be batched.

    `started(waits)` is told of each batch how many seconds each of its requests had waited, and `ran(call, seconds)` of
    each request that went well how long it took, the wait included.
    """

    def __init__(
        self,
        threads: int,
        parameters_of: Callable[[Call], Parameters | None],
        started: Callable[[list[float]], None] = lambda waits: None,
        ran: Callable[[Call, float], None] = lambda call, seconds: None,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, "batch")
        self._threads, self._idle = threads, threads
        self._parameters_of, self._started, self._ran = parameters_of, started, ran
        self._queues: dict[Any, Queue] = {}

    def takes(self, call: Call) -> bool:
        """Whether the model of `call` is batched at all."""
        return self._parameters_of(call) is not None

    def run(self, job: Job, call: Call) -> Awaitable | Any:
        """The promise of the result of `call`, or the failure at once if it cannot be batched or the queue is full."""
        parameters = self._parameters_of(call) or Parameters()
        try:
            rows = _rows(call, parameters)
        except StatusError as error:
            call.servable.release()
            return job.fail(error)
        queue = self._queues.setdefault(_key(call, parameters), Queue(parameters))
        if queue.batches() >= parameters.max_enqueued_batches and not _fits(queue, rows):
            call.servable.release()
            return job.fail(_full(queue))
        task = Task(job, call, rows, asyncio.get_running_loop().create_future(), time.monotonic())
        queue.tasks.append(task)
        self._dispatch()
        return task.future

    def _dispatch(self) -> None:
        """Starts the batches that are due while threads are free; the queues take turns."""
        now, loop = time.monotonic(), asyncio.get_running_loop()
        for key, queue in list(self._queues.items()):
            while queue.tasks and self._idle and queue.is_due(now):
                self._start(queue, queue.take(), loop)
            if queue.tasks and queue.timer is None and self._idle:
                wait = queue.tasks[0].since + queue.parameters.timeout_seconds - now
                queue.timer = loop.call_later(max(wait, 0), self._on_timer, queue)
            if not queue.tasks and not queue.running:
                del self._queues[key]

    def _on_timer(self, queue: Queue) -> None:
        queue.timer = None
        self._dispatch()

    def _start(self, queue: Queue, batch: list[Task], loop: asyncio.AbstractEventLoop) -> None:
        self._idle -= 1
        queue.running += 1
        now = time.monotonic()
        self._started([now - task.since for task in batch])

        def done(results: list) -> None:
            self._idle += 1
            queue.running -= 1
            for task, result in zip(batch, results, strict=True):
                if task.ended is not None:
                    self._ran(task.call, task.ended - task.since)
                if not task.future.done():
                    task.future.set_result(result)
            self._dispatch()

        self._pool.submit(lambda: loop.call_soon_threadsafe(done, process(batch, queue.parameters)))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _rows(call: Call, parameters: Parameters) -> int:
    if any(not tensor.shape for tensor in call.feeds):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {tensor.shape[0] for tensor in call.feeds}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    rows = sizes.pop() if sizes else 0
    if rows > parameters.max_batch_size:
        raise invalid(f"Task size {rows} is larger than maximum input batch size {parameters.max_batch_size}")
    return rows


def _key(call: Call, parameters: Parameters) -> tuple:
    """Requests with equal keys can be one batch."""
    if parameters.pad:
        return (call.plan, tuple(len(tensor.shape) for tensor in call.feeds))
    return (call.plan, tuple(tensor.shape[1:] for tensor in call.feeds))


def _fits(queue: Queue, rows: int) -> bool:
    """Whether the last batch that waits has room for `rows` more."""
    last = 0
    for task in queue.tasks:
        last = task.rows if last + task.rows > queue.parameters.max_batch_size else last + task.rows
    return bool(queue.tasks) and last + rows <= queue.parameters.max_batch_size


def _full(queue: Queue) -> StatusError:
    return StatusError(
        errors.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full; currently "
        f"{queue.batches()} batches enqueued and max_enqueued_batches is {queue.parameters.max_enqueued_batches}",
    )


# --- on a batch thread ---


def process(batch: list[Task], parameters: Parameters) -> list:
    """The results of the tasks, in order. Each servable is released."""
    try:
        return _together(batch, parameters)
    except StatusError as error:
        if len(batch) == 1:
            return [batch[0].job.fail(error)]
        return [_alone(task, parameters) for task in batch]
    except Exception as error:
        return [task.job.fail(unexpected(error)) for task in batch]
    finally:
        for task in batch:
            task.call.servable.release()


def _alone(task: Task, parameters: Parameters) -> Any:
    try:
        return _together([task], parameters)[0]
    except StatusError as error:
        return task.job.fail(error)
    except Exception as error:
        return task.job.fail(unexpected(error))


def _together(batch: list[Task], parameters: Parameters) -> list:
    options = _options(batch)
    rows = sum(task.rows for task in batch)
    padding = parameters.padded(rows) - rows if rows else 0
    count = len(batch[0].call.feeds)
    feeds = [merge([task.call.feeds[index] for task in batch], padding, parameters.pad) for index in range(count)]
    outputs = batch[0].call.plan.program(feeds, options)
    parts = [split(tensor, [task.rows for task in batch], padding) for tensor in outputs]
    for task in batch:
        task.ended = time.monotonic()
    return [_finish(task, [part[index] for part in parts]) for index, task in enumerate(batch)]


def _finish(task: Task, outputs: list[Tensor]) -> Any:
    try:
        return task.job.finish(task.call, outputs)
    except StatusError as error:
        return task.job.fail(error)


def _options(batch: list[Task]) -> RunOptions | None:
    """The longest of the deadlines."""
    deadlines = [task.job.deadline for task in batch if task.job.deadline is not None]
    if len(deadlines) < len(batch):
        return None
    remaining = max(deadlines) - time.monotonic()
    if remaining <= 0:
        raise timed_out()
    return RunOptions(timeout_ms=max(1, int(remaining * 1000)))


def merge(parts: list[Tensor], padding: int, pad: bool) -> Tensor:
    """One tensor of all rows, with `padding` copies of the last part's first row; `pad` evens out inner dimensions."""
    if pad and len({part.shape[1:] for part in parts}) > 1:
        parts = _even(parts)
    if len(parts) == 1 and not padding:
        return parts[0]
    first = parts[0]
    inner = first.shape[1:]
    row = 1
    for size in inner:
        row *= size
    rows = sum(part.shape[0] for part in parts) + padding
    if first.dtype == STRING:
        values = [value for part in parts for value in part.values] + parts[-1].values[:row] * padding
        return Tensor(STRING, (rows, *inner), values)
    arrays = [part.values for part in parts] + [parts[-1].values[:row]] * padding
    return Tensor(first.dtype, (rows, *inner), np.concatenate(arrays))


def _even(parts: list[Tensor]) -> list[Tensor]:
    """The parts padded to the largest of each inner dimension, by zeros or empty strings at the end."""
    inner = tuple(max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True))
    made = []
    for part in parts:
        is_string = part.dtype == STRING
        source = np.array(part.values, object) if is_string else part.values
        target = (
            np.full((part.shape[0], *inner), b"", object)
            if is_string
            else np.zeros((part.shape[0], *inner), source.dtype)
        )
        target[tuple(slice(size) for size in part.shape)] = source.reshape(part.shape)
        flat = target.reshape(-1)
        made.append(Tensor(part.dtype, target.shape, flat.tolist() if is_string else flat))
    return made


def split(tensor: Tensor, rows: list[int], padding: int) -> list[Tensor]:
    """The rows of each task. Raises FAILED_PRECONDITION if the output is not one row per input row."""
    if not tensor.shape:
        raise StatusError(errors.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    total = sum(rows) + padding
    if tensor.shape[0] != total:
        raise StatusError(
            errors.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    width = len(tensor.values) // total if total else 0
    parts, at = [], 0
    for count in rows:
        values = tensor.values[at * width : (at + count) * width]
        parts.append(Tensor(tensor.dtype, (count, *tensor.shape[1:]), values))
        at += count
    return parts
