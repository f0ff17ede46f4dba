"""Whether an environment is as its ledger says, and answers as its release should."""

from scripts.environments import answers
from scripts.environments.target import Environment
from scripts.ledger import blocks
from scripts.workspace.errors import YourTurn


def unknown(environment: str, configured: bool, problems: list[str] | None = None) -> dict:
    unknown = {"ledger": None, "runs": None, "answers": None}
    return {"environment": environment, "configured": configured, **unknown, "problems": problems or []}


def read(target: Environment) -> dict:
    ledger, runs = target.ledger(), target.running()
    problems = []
    if (begun := target.interrupted()) and (begun.release != ledger or runs != ledger):
        problems.append(f"the {begun.action} of {begun.release} at {begun.time} was interrupted")
    if runs != ledger:
        problems.append(f"it runs {runs or 'nothing'}, and should run {ledger or 'nothing'}")
    problems += [f"differs from the ledger: {line}" for line in (target.drift() if runs else [])]
    if why := blocks.of(target.name).get((ledger or "").partition("-")[2]):
        problems.append(f"release {ledger} is blocked: {why}")
    verdict, wrong = _ask(target, ledger) if ledger and runs else (None, [])
    return {
        "environment": target.name,
        "configured": True,
        "ledger": ledger,
        "runs": runs,
        "answers": verdict,
        "problems": problems + wrong,
    }


def _ask(target: Environment, ledger: str) -> tuple[str | None, list[str]]:
    """`right` or `wrong`, or None if no server could be asked; and the problems in words."""
    try:
        release = target.find(ledger).release
        problems, servers = answers.ask(target, release)
    except YourTurn as error:
        return None, [error.problem]
    if not servers:
        return None, ["no server answers"]
    return "wrong" if problems else "right", problems
