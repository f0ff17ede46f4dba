"""How quick a model is, as measured: it decides where its requests run."""


class Pace:
    """How long the runs of one plan take, by the size of their input in bytes.

    `bounded` says that the time of a run cannot depend on more than that size; without it nothing counts as quick.
    A run is *quick* if it may happen on the event loop, *short* if it needs no limit on its time. A size becomes either
    after a few runs in a row, and stops being so with the first that took ten times as long: the machine may have been
    busy, but it has to prove itself again.
    """

    TRIALS = 5

    def __init__(self, bounded: bool) -> None:
        self._quick, self._short = (_Threshold(seconds if bounded else 0.0) for seconds in (0.0005, 0.01))

    def is_quick(self, size: int) -> bool:
        return size <= self._quick.size

    def is_short(self, size: int) -> bool:
        return size <= self._short.size

    def note(self, size: int, seconds: float) -> None:
        """One run of `size` bytes took `seconds`."""
        self._quick.note(size, seconds)
        self._short.note(size, seconds)


class _Threshold:
    """The largest size that has been run within `seconds` several times in a row."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._trials, self.size = seconds, 0, -1

    def note(self, size: int, seconds: float) -> None:
        if size <= self.size:
            if seconds > 10 * self._seconds:
                self._trials, self.size = 0, -1
        elif seconds < self._seconds:
            self._trials += 1
            if self._trials >= Pace.TRIALS:
                self._trials, self.size = 0, size
        else:
            self._trials = 0
