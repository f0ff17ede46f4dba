"""Ports for the servers of the tests."""

import itertools
import os
import random
import socket
from collections.abc import Iterator

EACH = 1000  # ports for each process of a test run
ALONE = "gw9"  # a run of one process, which may be beside one of several


def _range() -> Iterator[int]:
    """Of each process its own, and below those that systems give to clients and to servers that name none (32768 on Linux): between the
    asking and the start of the server, nobody else takes it.
    """
    first = 20_000 + EACH * int(os.environ.get("PYTEST_XDIST_WORKER", ALONE).removeprefix("gw"))
    start = random.randrange(EACH)
    return itertools.cycle([*range(first + start, first + EACH), *range(first, first + start)])


_candidates = _range()


def free_ports(count: int = 2) -> list[int]:
    return list(itertools.islice(filter(_is_free, _candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
