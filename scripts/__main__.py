"""The command line: the verbs in pipeline order, and the one error boundary."""

import argparse
import ast
import importlib
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path

from scripts.training import faults
from scripts.workspace import actions, console, machine, requirements, settings
from scripts.workspace.errors import YourTurn

VERBS = [  # in the order of the pipeline
    *("up", "down", "doctor", "init", "protect", "add"),
    *("fetch", "train", "evaluate", "compare", "export", "serve", "image", "test-image", "push", "sbom"),
    *("promote", "diff", "deploy", "verify", "rollback", "block", "unblock"),
    *("status", "history", "why", "board", "rules", "bench", "lint", "test"),
]
STEPS = [  # for the workflows, and for whoever looks into a failed one
    *("scope", "report", "conclude"),
    *("find", "elsewhere", "resume", "attestation", "changed", "connect", "publish"),
    *("refresh", "propose", "ledgers", "drift", "preview"),
]


def main(arguments: list[str]) -> int:
    """Runs one verb. Returns 0 for success, 1 for an error that says what to do next, 3 for a bug in the pipeline, 130 for Ctrl-C."""
    try:
        machine.settle()
        return _run(arguments)
    except YourTurn as error:
        return _report(error)
    except BrokenPipeError:  # the reader of a pipe has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("\ninterrupted: nothing is half-written; the same command again goes on", file=sys.stderr)
        return 130
    except Exception as error:
        theirs = faults.told(error)  # a fault of a model file that this process runs
        return _report(theirs) if theirs else _report_bug(arguments)


def _run(arguments: list[str]) -> int:
    verb, rest = _choose(arguments)
    module = importlib.import_module(_module(verb))
    parser = argparse.ArgumentParser(
        f"./pipeline {verb}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    getattr(module, "add_arguments", lambda parser: None)(parser)
    namespace, unknown = parser.parse_known_args(rest)
    options = vars(namespace)
    if getattr(module, "PASSES_ON", False):
        options["rest"] = unknown
    elif unknown:
        raise YourTurn(f"{verb} has no option {unknown[0]!r}", f"./pipeline {verb} --help")
    requirements.ensure(getattr(module, "NEEDS", "base"))
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "3"
    )  # TensorFlow's notes on the processor and on its protos; errors are raised
    return module.run(**options)


def _choose(arguments: list[str]) -> tuple[str, list[str]]:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        sys.exit(0)
    if arguments[0] not in VERBS + STEPS:
        meant = settings.did_you_mean(arguments[0], VERBS + STEPS)
        raise YourTurn(f"unknown verb {arguments[0]!r}{meant}", "./pipeline --help")
    return arguments[0], arguments[1:]


def _module(verb: str) -> str:
    package = "scripts.steps" if verb in STEPS else "scripts"
    return f"{package}.{verb.replace('-', '_')}"


def _help() -> str:
    def lines(verbs: list[str]) -> list[str]:
        return [console.folded(f"  {verb:<11} {_summary(verb)}", indent=14) for verb in verbs]

    usage = "usage: ./pipeline VERB [options]     (./pipeline VERB --help says more)"
    return "\n".join([usage, "", *lines(VERBS), "", "Steps of the workflows:", "", *lines(STEPS)])


def _summary(verb: str) -> str:
    """The first line of the verb's docstring, read and not imported: the help needs no more."""
    file = Path(__file__).parents[1] / f"{_module(verb).replace('.', '/')}.py"
    text = file.read_text()
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def _report(error: YourTurn) -> int:
    print(error.render(), file=sys.stderr)
    actions.annotate("error", f"{error.problem}\nnext: {error.remedy}")
    return 1


def _report_bug(arguments: list[str]) -> int:
    traceback.print_exc()
    print("\nThis is a bug in the pipeline. Please report it with the lines above and these:", file=sys.stderr)
    print(f"  ./pipeline {shlex.join(arguments)}\n  Python {sys.version.split()[0]} on {sys.platform}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
