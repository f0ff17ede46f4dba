"""Runs a stage in a process of its own, forked from one that has imported TensorFlow and done nothing else.

Each stage thus starts from the same state, alone or in `up`, and writes the same bytes: TensorFlow numbers the functions in a SavedModel by
the process's earlier traces. TensorFlow is imported only once. A stage is a plain process: it has the terminal, for breakpoint(), and may
start processes of its own.
"""

import ctypes
import faulthandler
import importlib
import os
import pickle
import signal
import sys
import tempfile
import traceback
from typing import IO, Any

from scripts.training import faults, surroundings
from scripts.workspace.errors import YourTurn


def isolated(stage: str, *arguments: Any) -> Any:
    """The result of a function of this package, `stage` as "module.function", with `arguments`.

    Raises the function's YourTurn; an error in model/ becomes a YourTurn too.
    """
    with tempfile.TemporaryFile("w+") as trace:
        answer = _answer(stage, arguments, trace)
    value, error = pickle.loads(answer)
    if error:
        raise error
    return value


def _answer(stage: str, arguments: tuple, trace: IO[str]) -> bytes:
    """What the process of the stage sends. Raises YourTurn if it ends without; `trace` then holds where, if Python knew."""
    with surroundings.fixed():  # Keras reads its settings when it is imported
        import keras  # noqa: F401
        import tensorflow  # noqa: F401

        from scripts.training import graphs

        graphs.known()  # before a model file loads a library of other operations
        ours, theirs = os.pipe()
        sys.stdout.flush(), sys.stderr.flush()
        child = os.fork()
        if not child:
            os.close(ours)
            _trace_end(trace)
            _run(theirs, stage, arguments)
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)  # several workers' TensorFlow takes SIGTERM, and waits on
        os.waitpid(child, 0)
        raise
    _, status, usage = os.wait4(child, 0)
    if not answer:
        trace.seek(0)
        name = stage.partition(".")[2]
        what = name if name in ("train", "evaluate", "export") else "check"
        raise _killed(f"{_place(trace.read(), arguments[0])}: {what}", status, usage.ru_maxrss / 2**20)
    return answer


def _trace_end(trace: IO[str]) -> None:
    """Has Python write where it is when this process crashes or is ended by os._exit."""
    faulthandler.enable(trace)
    end = os._exit

    def traced(status: int) -> None:
        faulthandler.dump_traceback(trace)
        end(status)

    vars(os)["_exit"] = traced


def _place(trace: str, modules: str | list[str]) -> str:
    """The line of the model file that was at work, else the file."""
    if frame := faults.FRAME.search(trace):  # the last call comes first
        return f"{frame[1]}, line {frame[2]}, in {frame[3]}()"
    return ", ".join(f"model/{module}.py" for module in ([modules] if isinstance(modules, str) else modules))


def _run(pipe: int, stage: str, arguments: tuple) -> None:
    """Runs the function, sends its result or error, and ends. Only values that surely can be pickled are sent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a training does not outlive its verb
    try:
        module, name = stage.split(".")
        function = getattr(importlib.import_module(f"scripts.training.{module}"), name)
        answer = (function(*arguments), None)
    except KeyboardInterrupt:
        answer = (None, KeyboardInterrupt())
    except YourTurn as error:
        answer = (None, YourTurn(error.problem, error.remedy))
    except BaseException as error:
        told = faults.told(error)
        answer = (None, told or RuntimeError(f"in {stage}:\n{traceback.format_exc()}"))
    sys.stdout.flush(), sys.stderr.flush()
    with os.fdopen(pipe, "wb") as stream:
        stream.write(pickle.dumps(answer))
    os._exit(0)


def _killed(stage: str, status: int, gibibytes: float) -> YourTurn:
    if not os.WIFSIGNALED(status):
        problem = f"{stage} was ended with exit code {os.waitstatus_to_exitcode(status)}, by os._exit or a library"
        return YourTurn(problem, "look there for what ends it, then the same command again")
    number = os.WTERMSIG(status)
    problem = f"{stage} was killed by {signal.Signals(number).name}; it had taken {gibibytes:.1f} GiB of memory"
    if number == signal.SIGKILL:
        return YourTurn(
            f"{problem}: the kernel does that where there is no more", "give it more, or take smaller batches"
        )
    return YourTurn(problem, "the same command again; where it comes again, look at the libraries that model/ calls")
