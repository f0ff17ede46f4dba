"""Messages of a job to GitHub Actions: outputs, variables, summary, annotations.

Outside of a workflow the functions do nothing, so that no verb needs to know where it runs.
"""

import os

SUMMARY = 2**20 - 100  # bytes; of a step that writes more than a MiB, GitHub shows nothing


def output(**values: str) -> None:
    """Sets outputs of the step."""
    _append("GITHUB_OUTPUT", values)


def variable(**values: str) -> None:
    """Sets environment variables of the steps that follow."""
    _append("GITHUB_ENV", values)


def summary(markdown: str) -> None:
    """Adds to the page of the run, as much as that takes."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        text = f"{markdown.rstrip()}\n\n".encode()
        with open(path, "ab") as file:
            room = max(SUMMARY - file.tell(), 0)
            file.write(text if len(text) <= room else f"{text[:room].decode(errors='ignore')}\n…\n\n".encode())


def annotate(level: str, text: str) -> None:
    """Shows `text` on the page of the run; `level` is error, warning or notice."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::{level}::{escaped}", flush=True)


def _append(file: str, values: dict[str, str]) -> None:
    """Writes each value between two lines of a random delimiter, so that no value can end early and set another one."""
    if path := os.environ.get(file):
        with open(path, "a") as stream:
            for name, value in values.items():
                end = os.urandom(16).hex()
                stream.write(f"{name}<<{end}\n{value}\n{end}\n")
