"""What ENV should serve, what runs there, and what it answers; exit 1 on any difference"""

import argparse
from pathlib import Path

from scripts import _console, _delivery, _environments, _files
from scripts._errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _environments.add_argument(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there as well")


def run(environment: str, json: Path | None) -> int:
    target = _environments.reachable(environment)
    if not target:
        _write(json, _unknown(environment, configured=False))
        return 0
    try:
        status = _read(target)
    except YourTurn as error:  # no answer is no agreement
        _write(json, _unknown(environment, configured=True, problems=[error.problem]))
        raise
    _write(json, status)
    _console.table(
        ["environment", "ledger", "runs", "answers"],
        [[status["environment"], *(status[k] or "–" for k in ("ledger", "runs", "answers"))]],
    )
    for problem in status["problems"]:
        _console.say(f"  ! {problem}")
    if status["problems"]:
        remedy = "./pipeline up" if environment == "local" else f"./pipeline deploy {environment}"
        raise YourTurn(f"{environment} is not as its ledger says", remedy)
    return 0


def _write(file: Path | None, status: dict) -> None:
    if file:
        _files.write_json(file, status)


def _unknown(environment: str, configured: bool, problems: list[str] | None = None) -> dict:
    unknown = {"ledger": None, "runs": None, "answers": None}
    return {"environment": environment, "configured": configured, **unknown, "problems": problems or []}


def _read(target: _delivery.Environment) -> dict:
    history, ledger, runs = target.history(), target.ledger(), target.running()
    problems = []
    if history and history[-1].outcome == "started":
        problems.append(f"the {history[-1].action} of {history[-1].release} at {history[-1].time} was interrupted")
    if runs != ledger:
        problems.append(f"it runs {runs or 'nothing'}, and should run {ledger or 'nothing'}")
    problems += [f"differs from the ledger: {line}" for line in (target.drift() if runs else [])]
    wrong = _ask(target, ledger) if ledger and runs else []
    answers = ("wrong" if wrong else "right") if ledger and runs else None
    return {
        "environment": target.name,
        "configured": True,
        "ledger": ledger,
        "runs": runs,
        "answers": answers,
        "problems": problems + wrong,
    }


def _ask(target: _delivery.Environment, ledger: str) -> list[str]:
    try:
        release = target.find(ledger).release
        with target.endpoints() as endpoints:
            return _delivery.ask(endpoints, release) if endpoints else ["no server answers"]
    except YourTurn as error:
        return [error.problem]
