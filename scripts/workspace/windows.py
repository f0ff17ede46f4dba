"""Times in which nothing may be deployed to an environment: every week from one hour to another, or once from one day to another.

Fri 16:00 – Mon 08:00 Europe/Berlin
2026-12-20 – 2027-01-02                       both days included; the zone is that of the windows beside it
2026-12-20 18:00 – 2027-01-02 08:00 UTC
"""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
WEEK = timedelta(days=7)
FORM = re.compile(r"(\S+)(?: (\d{1,2}:\d{2}))? ?(?:–| - ) ?(\S+)(?: (\d{1,2}:\d{2}))?(?: ([A-Za-z]\S*))?")


class Wrong(ValueError):
    """A window that makes no sense; the message says why."""


@dataclass(frozen=True)
class Window:
    """Closed from `begin` until `end`, which is excluded; in local time, repeated each week if `weekly`."""

    begin: datetime
    end: datetime
    weekly: bool
    zone: tzinfo

    def closed_until(self, now: datetime) -> datetime | None:
        """The end of the window, if `now` is in it."""
        here = now.astimezone(self.zone).replace(tzinfo=None)
        weeks = (here - self.begin) // WEEK if self.weekly else 0
        begin, end = self.begin + weeks * WEEK, self.end + weeks * WEEK
        return end.replace(tzinfo=self.zone) if begin <= here < end else None


def read(texts: list[str]) -> list[Window]:
    """Parses windows. Raises Wrong for one of another form, without a zone, or with its end before its begin; and if no gap is left."""
    parts = {text: FORM.fullmatch(" ".join(text.split())) for text in texts}
    zones = {match[5] for match in parts.values() if match and match[5]}
    windows = [_window(text, match, zones) for text, match in parts.items()]
    weekly = [window for window in windows if window.weekly]
    if weekly and opens(weekly, datetime.now(UTC)) is NEVER:
        raise Wrong("closes every hour of every week: it never opens")
    return windows


NEVER = datetime.max.replace(tzinfo=UTC)


def opens(windows: list[Window], now: datetime) -> datetime | None:
    """The first moment that is in no window: None for now, NEVER if there is none."""
    moment = now
    for _ in range(3 * len(windows) + 1):
        ends = [end for window in windows if (end := window.closed_until(moment))]
        if not ends:
            return None if moment == now else moment
        moment = max(ends)
    return NEVER


def _window(text: str, match: re.Match[str] | None, zones: set[str]) -> Window:
    if not match:
        raise Wrong(f"{text!r} is no window: 'Fri 16:00 – Mon 08:00 Europe/Berlin', '2026-12-20 – 2027-01-02 UTC'")
    first, first_time, last, last_time, name = match.groups()
    if not name and len(zones) != 1:
        raise Wrong(f"{text!r} has no zone: put one behind it, such as Europe/Berlin or UTC")
    zone, weekly = _zone(text, name or next(iter(zones))), first in DAYS
    if weekly and (last not in DAYS or not first_time or not last_time):
        raise Wrong(f"{text!r} needs a day and an hour on both sides, such as Fri 16:00 – Mon 08:00")
    begin, end = (_moment(text, day, hour) for day, hour in ((first, first_time), (last, last_time)))
    if weekly and end < begin:
        end += WEEK
    if not weekly and not last_time:
        end += timedelta(days=1)
    if end <= begin:
        why = "never opens, or never closes: it ends when it begins" if end == begin else "ends before it begins"
        raise Wrong(f"{text!r} {why}")
    return Window(begin, end, weekly, zone)


def _moment(text: str, day: str, hour: str | None) -> datetime:
    try:
        when = time.fromisoformat((hour or "0:00").rjust(5, "0"))
        if day in DAYS:
            return datetime.combine(datetime(2024, 1, 1 + DAYS.index(day)), when)  # a Monday
        return datetime.combine(datetime.fromisoformat(day), when)
    except ValueError:
        raise Wrong(f"{text!r} has no such day or hour: {' '.join(filter(None, (day, hour)))}") from None


def _zone(text: str, name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong(f"{text!r}: this machine knows no time zone {name!r} (zones are called as Europe/Berlin)") from None
