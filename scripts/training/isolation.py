"""Runs a function in a process forked from one that has imported TensorFlow and done nothing else.

So each stage of `up` starts from the state in which its verb alone would start, and writes the same bytes (TensorFlow numbers
the functions in a SavedModel by what the process traced before), while TensorFlow is imported only once.
"""

import multiprocessing
from types import FunctionType
from typing import Any

from scripts.workspace.errors import YourTurn


def isolated(function: FunctionType, *arguments: Any) -> Any:
    """`function(*arguments)` in a process of its own; what it raises is raised here."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        value, error = ours.recv()
    except EOFError:
        process.join()
        raise YourTurn(
            f"{function.__name__} was killed (exit code {process.exitcode})",
            "look for the out-of-memory killer (dmesg), then the same command again",
        ) from None
    process.join()
    if error:
        raise error
    return value


def _run(pipe, function: FunctionType, arguments: tuple) -> None:
    try:
        pipe.send((function(*arguments), None))
    except BaseException as error:  # KeyboardInterrupt too: the parent decides what is printed
        pipe.send((None, error))
