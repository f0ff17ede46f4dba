"""How one HTTP/2 connection ends: by its age, idle, ungreeted, by a fault or with the server."""

import asyncio
import struct
from dataclasses import dataclass
from typing import Any, Protocol

from .frames import GOAWAY, MAX_WINDOW, NO_ERROR, PING, frame

FAREWELL = b"farewell"  # in the ping whose echo says that the client has read our GOAWAY
_FAREWELL_SECONDS = 1  # for that echo
_GREETING_SECONDS = 20  # nobody may hold a connection without so much as saying hello


@dataclass(frozen=True)
class Options:
    """--grpc_channel_arguments as far as they mean something here; times in seconds, 0 for never."""

    max_message: int = -1
    max_streams: int = 0
    max_age: float = 0.0
    age_grace: float = 0.0
    max_idle: float = 0.0


class Watched(Protocol):
    """What of a connection decides when it may end."""

    last: int  # the number of the latest stream
    accepted: int  # of the latest that was not refused
    streams: dict[int, Any]  # those that are not answered yet

    @property
    def greeted(self) -> bool: ...


class Lifetime:
    """The end of the connection `watched`."""

    def __init__(self, transport: asyncio.Transport, watched: Watched, options: Options) -> None:
        self._transport, self._watched, self._options = transport, watched, options
        self._warned = False
        self.leaving = self.closed = False
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self) -> None:
        loop, options = asyncio.get_running_loop(), self._options
        if options.max_age:
            self._timers.append(loop.call_later(options.max_age, self.go_away))
            if options.age_grace:
                self._timers.append(loop.call_later(options.max_age + options.age_grace, self.abort))
        self._timers.append(loop.call_later(_GREETING_SECONDS, lambda: self._watched.greeted or self.abort()))
        if options.max_idle:
            self._watch_idle(loop, options.max_idle)

    def _watch_idle(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        last = self._watched.last

        def check() -> None:
            if self._watched.last == last and not self._watched.streams:
                self.go_away()
            elif not self.closed:
                self._watch_idle(loop, seconds)

        self._timers.append(loop.call_later(seconds, check))

    def go_away(self) -> None:
        """Asks the client to take its next calls elsewhere, and leaves when it has echoed the ping, or a second later.

        The echo says that the client has read our GOAWAY. What it sends until then is answered.
        """
        if self.closed or self._warned:
            return
        self._warned = True
        # RFC 9113, 6.8: the last stream is not known yet, so the highest number there is stands for it.
        self._transport.write(_goaway(MAX_WINDOW, NO_ERROR) + frame(PING, 0, 0, FAREWELL))
        self._timers.append(asyncio.get_running_loop().call_later(_FAREWELL_SECONDS, self.leave))

    def leave(self) -> None:
        """Takes no new calls, and closes when those in flight have ended."""
        if self.closed:
            return
        if not self.leaving:
            self.leaving = True
            self._transport.write(_goaway(self._watched.accepted, NO_ERROR))
        self.close_if_left()

    def close_if_left(self) -> None:
        if self.leaving and not self._watched.streams and not self.closed:
            self._transport.close()

    def fail(self, code: int) -> None:
        """The client broke the protocol."""
        self.closed = True
        self._transport.write(_goaway(self._watched.accepted, code))
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def ended(self) -> None:
        """The connection is gone."""
        self.closed = True
        for timer in self._timers:
            timer.cancel()


def _goaway(last: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))
