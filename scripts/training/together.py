"""One training by several workers: each computes its rows of every batch, the gradients are summed, the weights are the same everywhere.

Keras's own fit() does that, on a strategy of TensorFlow's that gives it what it expects. Keras 3 asks MultiWorkerMirroredStrategy for an
example of a batch, and for the mean of numbers, in ways which that refuses ("PerReplica cannot be adapted").
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from scripts.training import workers
from scripts.training.faults import mistake

TOO_FEW = "a batch has fewer examples than there are workers"
SUMS = ("sum", "none", None, "mean_with_sample_weight")  # what is no mean over a batch's examples
PART = 2**24  # bytes that are sent at once
# What TensorFlow raises when a worker has gone, or is there again before the others have noticed.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


class Lost(Exception):
    """Another worker has gone: all begin again, from the last backup."""


class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
    """For Keras's fit(): the workers' rows of a batch, in their order, are that batch."""

    ran = False  # whether any of the training was split

    def __init__(self) -> None:
        super().__init__()
        numbers = [tf.TensorSpec([None], tf.int32)]
        self.of_first = tf.function(
            lambda value: super(Strategy, self).run(_sent, args=(value,)), input_signature=numbers
        )

    def experimental_distribute_dataset(self, dataset: tf.data.Dataset, options: Any = None) -> Any:
        """Of each batch, the rows of this worker. Every worker reads all of the data: their order is seeded, and so the same."""
        count, place = self.num_replicas_in_sync, workers.here()
        each = count // place.count
        first = place.index * each

        def rows(number: tf.Tensor, batch: Any) -> tf.data.Dataset:
            size = tf.shape(_first(batch), out_type=tf.int64)[0]
            enough = tf.debugging.Assert(
                tf.greater(number, 0) | tf.greater_equal(size, count), [TOO_FEW]
            )  # the last may be smaller
            with tf.control_dependencies([enough]):
                size = tf.identity(size)
            return tf.data.Dataset.range(first, first + each).map(lambda i: _rows(batch, *part(i, size, count)))

        return self.distribute_datasets_from_function(lambda _: dataset.enumerate().flat_map(rows).prefetch(each))

    def reduce(self, reduce_op: Any, value: Any, axis: int | None = None) -> Any:
        """Keras asks for an example by the mean of a batch, which may be words, and for the mean of numbers over their first axis."""
        if isinstance(value, tuple | list | dict):
            return tf.nest.map_structure(lambda part: self.experimental_local_results(part)[0], value)
        if axis == 0 and self.experimental_local_results(value)[0].shape.rank == 0:
            axis = None
        return super().reduce(reduce_op, value, axis)

    def run(self, *arguments: Any, **named: Any) -> Any:
        self.ran = True
        return super().run(*arguments, **named)


def _sent(value: tf.Tensor) -> tf.Tensor:
    """The value of the first replica, at all of them."""
    here = tf.distribute.get_replica_context()
    return here.all_reduce("SUM", tf.where(tf.equal(here.replica_id_in_sync_group, 0), value, tf.zeros_like(value)))


def part(place: Any, size: Any, count: int) -> tuple[Any, Any]:
    """The first row that the replica `place` of `count` has of a batch of `size` rows, and the one behind its last.

    Of fewer rows than replicas each has all: oneDNN's convolutions fail on none, and the mean over copies is the batch's own.
    """
    begin, end = place * size // count, (place + 1) * size // count
    return tf.where(size < count, tf.zeros_like(size), begin), tf.where(size < count, size, end)


def _rows(batch: Any, begin: tf.Tensor, end: tf.Tensor) -> Any:
    return tf.nest.map_structure(
        lambda value: value if isinstance(value, tf.experimental.Optional) else value[begin:end], batch
    )


def _first(batch: Any) -> tf.Tensor:
    return next(part for part in tf.nest.flatten(batch) if not isinstance(part, tf.experimental.Optional))


@contextmanager
def joined(model: ModuleType) -> Generator[Any]:
    """The block builds and fits a network on all the workers; it gets the strategy, or None where there is one worker.

    Raises Lost where another worker has gone, and YourTurn for a batch that cannot be split.
    """
    if (count := workers.here().count) == 1:
        yield None
        return
    try:
        yield Strategy()
    except LOST as error:
        raise Lost from error
    except tf.errors.InvalidArgumentError as error:
        if TOO_FEW not in str(error):
            raise
        problem = f"fit() cannot be split over {count} workers: {TOO_FEW}"
        raise mistake(model, f"{problem}; take fewer workers in [tool.pipeline.training], or larger batches") from None


@contextmanager
def split(model: ModuleType, network: Any, strategy: Strategy | None) -> Generator[None]:
    """Fits the network in the block, over the workers of `strategy`. Raises YourTurn for a training that cannot be split."""
    if not strategy:
        yield
        return
    _refuse(model, network)
    apart = [layer for layer in network._flatten_layers() if getattr(layer, "synchronized", None) is False]
    for layer in apart:  # BatchNormalization: the statistics are those of the whole batch
        layer.synchronized = True
    network.train_step = _weighted(model, network)
    try:
        with strategy.scope():
            yield
    except ValueError as error:
        if strategy.ran or "DistributedVariable" not in str(error):
            raise
        raise mistake(model, f"a loop of fit()'s own trains past the workers: {REMEDY}") from error
    finally:
        del network.train_step
        for layer in apart:
            layer.synchronized = False
    if not strategy.ran:
        raise mistake(model, f"fit() has split nothing over the workers: {REMEDY}")


REMEDY = "let it call network.fit() of Keras, or train it by one: workers = 1 in [tool.pipeline.training]"


def _refuse(model: ModuleType, network: Any) -> None:
    if not isinstance(network, keras.Model):
        raise mistake(model, f"network() gives no keras.Model, and several workers train no other: {REMEDY}")
    if type(network).train_step is not keras.Model.train_step:
        raise mistake(model, f"{type(network).__name__} has a train_step() of its own, which is not split: {REMEDY}")


def _weighted(model: ModuleType, network: keras.Model) -> Any:
    """train_step(), in which a worker counts for as many rows as it has: of 7, one of two has 3. Keras counts all alike."""
    plain = network.train_step

    def step(data: Any) -> Any:
        losses = tf.nest.flatten(network.loss)
        if any(getattr(loss, "reduction", "mean") in SUMS for loss in losses):
            raise mistake(model, f"a loss is no mean over the examples, and is not split: {REMEDY}")
        here, size = tf.distribute.get_replica_context(), tf.cast(tf.shape(_first(data))[0], tf.float32)
        share = size * here.num_replicas_in_sync / here.all_reduce("SUM", size)
        optimizer, scale = network.optimizer, network.optimizer.scale_loss
        optimizer.scale_loss = lambda loss: scale(loss) * tf.cast(share, loss.dtype)
        try:
            return plain(data)
        finally:
            optimizer.scale_loss = scale

    return step


def scope(strategy: Strategy | None) -> Any:
    return strategy.scope() if strategy else nullcontext()


def same(decision: bool) -> bool:
    """What the first worker has decided. What reads a metric, such as a backup, takes all the workers, or waits for ever."""
    return bool(_of_first(np.array([decision], "int32"))[0])


def spread(path: Path) -> None:
    """Makes the file at every worker that of the first one, or removes it where that has none. In parts: it may be of gigabytes."""
    size = path.stat().st_size if path.exists() else 0
    high, low = _of_first(np.array(divmod(size, PART), "int32"))
    size = int(high) * PART + int(low)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb" if not workers.here().index and size else "wb") as file:
        for begin in range(0, size, PART):
            own = b"" if file.writable() else file.read(PART)
            part = np.frombuffer(own.ljust(PART, b"\0"), "int32")
            if file.writable():
                file.write(_of_first(part).tobytes()[: size - begin])
            else:
                _of_first(part)
    if not size:
        path.unlink()


def _of_first(value: np.ndarray) -> np.ndarray:
    strategy: Any = tf.distribute.get_strategy()
    return strategy.experimental_local_results(strategy.of_first(tf.constant(value)))[0].numpy()
