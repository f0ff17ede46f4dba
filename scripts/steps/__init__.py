"""The verbs that only the workflows call, and whoever looks into why one of them failed."""

from pathlib import Path

# Written by one step, read by another.
REPORT = Path("build/report.md")
PATCH = Path("build/refresh.patch")
