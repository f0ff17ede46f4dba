"""Where and when a request runs: at once on the event loop, on a pool of threads, or in a batch with others.

A run that is known to be quick happens on the loop, since handing a 20-microsecond run to another thread and back
costs more than the run. "Known" means measured: a program has answered requests of at least this size quickly several
times, and nothing in its graph lets the time depend on more than the size (no loops, no strings to decode).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from . import errors
from .errors import StatusError
from .servable import Plan, Servable
from .tensorflow_c import IN_CALLER, RunOptions
from .tensors import Tensor

log = logging.getLogger("execution")
Result = TypeVar("Result")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)

INLINE_BYTES = 64 * 1024  # a larger request is read on a pool too: parsing it would hold up the loop
SHORT_BYTES = 4 << 20  # a still larger one goes to the other pool, so that it holds up no short runs


@dataclass(slots=True)
class Call:
    """A checked request: `feeds` in the order of the plan's inputs, on a servable that is held until `release`."""

    servable: Servable
    plan: Plan
    feeds: list[Tensor]
    context: Any = None  # what the job needs to make its answer
    api: str = "Predict"
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = sum(tensor.size for tensor in self.feeds)


class Job(Protocol[AnswerT_co]):
    """One request of a front end."""

    deadline: float | None
    """By `time.monotonic()`."""

    def prepare(self) -> Call: ...
    def finish(self, call: Call, outputs: list[Tensor]) -> AnswerT_co: ...
    def fail(self, error: StatusError) -> AnswerT_co: ...


class Executor(Generic[Result]):
    """Runs jobs on two pools: short runs on as many threads as there are CPUs, in the order they came; all others on
    `threads`, where the system shares the CPUs out. `batcher` is None unless batching is on; `observe(call, seconds)`
    is told of every run.
    """

    def __init__(
        self, threads: int, cpus: int, batcher=None, observe: Callable[[Call, float], None] | None = None
    ) -> None:
        self._pool, self._short_pool = ThreadPoolExecutor(threads, "run"), ThreadPoolExecutor(cpus, "short")
        self._batcher, self._observe = batcher, observe

    def execute(self, job: Job[Result], size: int) -> Result | Awaitable[Result]:
        """The result of `job`, whose request has `size` bytes, or the promise of it."""
        if size > INLINE_BYTES:
            return self._from_pool(job, size)
        call = self._prepare(job)
        if not isinstance(call, Call):
            return call
        if self._batcher is not None and self._batcher.takes(call):
            return self._batcher.run(job, call)
        if call.plan.pace.is_quick(call.bytes):
            return self._run(job, call, IN_CALLER)
        pool = self._short_pool if call.plan.pace.is_short(call.bytes) else self._pool
        return asyncio.get_running_loop().run_in_executor(pool, self._run_with_deadline, job, call)

    async def _from_pool(self, job: Job[Result], size: int) -> Result:
        """A large request: read on a pool, and run there too if it is known to be short."""
        loop = asyncio.get_running_loop()
        pool = self._short_pool if size < SHORT_BYTES else self._pool
        call = await loop.run_in_executor(pool, self._prepare_and_run, job)
        if not isinstance(call, Call):
            return call
        if self._batcher is not None and self._batcher.takes(call):
            result = self._batcher.run(job, call)
            return await result if isinstance(result, Awaitable) else result
        return await loop.run_in_executor(self._pool, self._run_with_deadline, job, call)

    def _prepare_and_run(self, job: Job[Result]) -> Call | Result:
        call = self._prepare(job)
        if isinstance(call, Call) and self._batcher is None and call.plan.pace.is_short(call.bytes):
            return self._run_with_deadline(job, call)
        return call

    def _prepare(self, job: Job[Result]) -> Call | Result:
        try:
            return job.prepare()
        except StatusError as error:
            return job.fail(error)
        except Exception as error:
            return job.fail(unexpected(error))

    def _run_with_deadline(self, job: Job[Result], call: Call) -> Result:
        # TensorFlow can stop a run only if it is on its own pool, which costs a hand-over.
        options = IN_CALLER if call.plan.pace.is_short(call.bytes) else None
        if job.deadline is not None:
            remaining = job.deadline - time.monotonic()
            if remaining <= 0:
                call.servable.release()
                return job.fail(timed_out())
            options = options or RunOptions(timeout_ms=max(1, int(remaining * 1000)))
        return self._run(job, call, options)

    def _run(self, job: Job[Result], call: Call, options: RunOptions | None) -> Result:
        started = time.perf_counter()
        try:
            outputs = call.plan.program(call.feeds, options)
            seconds = time.perf_counter() - started
            call.plan.pace.note(call.bytes, seconds)
            if self._observe:
                self._observe(call, seconds)
            return job.finish(call, outputs)
        except StatusError as error:
            return job.fail(error)
        except Exception as error:
            return job.fail(unexpected(error))
        finally:
            call.servable.release()

    def in_thread(self, function, *arguments) -> Awaitable:
        """Runs something that may block for long, such as loading a model, off the pool."""
        future = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def work() -> None:
            result = function(*arguments)
            loop.call_soon_threadsafe(lambda: future.done() or future.set_result(result))

        threading.Thread(target=work, daemon=True).start()
        return future

    def close(self) -> None:
        for pool in (self._pool, self._short_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()


def timed_out() -> StatusError:
    return StatusError(errors.DEADLINE_EXCEEDED, "Timed out waiting for notification")


def unexpected(error: Exception) -> StatusError:
    """A bug must cost neither the client its answer nor the server its life."""
    log.exception("while answering a request")
    return StatusError(errors.INTERNAL, f"{type(error).__name__}: {error}")
