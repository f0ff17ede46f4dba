"""What a check of `doctor` finds: there, missing, or off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    subject: str
    state: str  # ok; missing; or off: absent, and not needed
    text: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]
