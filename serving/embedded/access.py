"""The access log: one JSON line per request on standard error."""

import json
import sys
from datetime import UTC, datetime


class AccessLog:
    """Writes a line per request; the line goes out as a whole, so that lines of other threads do not mix with it."""

    def write(self, protocol: str, target: str, status: int | str, seconds: float, client: str) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "protocol": protocol,
            "request": target,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
            "client": client,
        }
        sys.stderr.write(json.dumps(line) + "\n")
