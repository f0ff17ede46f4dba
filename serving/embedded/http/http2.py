"""gRPC over HTTP/2, for unary calls and server streams: what all connections share.

Written by hand for speed: for a small model the standard Python gRPC server spends ten times as long on a call as
TensorFlow does. What makes this one quick is that it does little: answers are prepared bytes written in one piece, and
a header block that has come before is found in a dictionary.
"""

import asyncio
import time

from .calls import Methods, Streaming, Unary
from .connection import Connection
from .lifetime import Options

__all__ = ["Connection", "Options", "Server"]

MAX_CALLS = 2000  # of one connection: open, or reset by the client and still in work


class Server:
    """The calls by path, and all connections."""

    def __init__(self, unary: dict[str, Unary], streaming: dict[str, Streaming], options: Options) -> None:
        self.methods, self.options = Methods(unary, streaming, options.max_message), options
        self.max_calls = min(options.max_streams or MAX_CALLS, MAX_CALLS)
        self.connections: set[Connection] = set()

    def connection(self) -> "Connection":
        return Connection(self)

    async def drain(self, seconds: float) -> None:
        """Takes no new calls, lets those in flight finish for at most `seconds`."""
        for connection in list(self.connections):
            connection.go_away()
        deadline = time.monotonic() + seconds
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
