"""What a private fork is billed: the minutes of each job, by act on this machine, for a change of a model and one of the template.

act starts no machine and installs nothing: what that takes is added as SET_UP says. GitHub rounds each job up to a minute.
"""

import math
from collections.abc import Iterator

from scripts.workspace import requirements
from tests.support.fork import INSTANT
from tests.workflows.act import Run
from tests.workflows.conftest import World

# Seconds before the first verb, assumed and not measured: the machine, checkout and setup, and the lock that the job's verbs need.
START = 25
SET_UP = {"base": 10, "serve": 40, "train": 45, "dev": 60}
SUITE = 20 * 60  # of the job `test`, which is not run in itself here
PULL_REQUEST, CYCLE = 10, 25  # minutes: the goal


def test_a_change_of_a_model(world: World) -> None:
    rows = [*pull_request(world)]
    table("a push to a pull request", rows)
    assert sum(row[-1] for row in rows) <= PULL_REQUEST
    github = world.github
    world.fork.git("checkout", "-q", "main")
    world.fork.git("merge", "-q", "--no-ff", "-m", "Merge", "change")
    github.push()
    rows += billed("release", world.run("release", "push").ok())
    for environment in ("staging", "production"):
        before, after = github.merge(github.pull_requests()[0]["number"])
        run = world.run("deploy", "push", {"before": before, "after": after}).ok()
        assert world.ledger(environment), environment
        rows += billed(f"deploy {environment}", run)
    table("from that push to production", rows)
    assert sum(row[-1] for row in rows) <= CYCLE


def pull_request(world: World) -> list[tuple[str, str, float, int]]:
    fork, github = world.fork, world.github
    fork.git("checkout", "-q", "-b", "change")
    (fork.root / "model/instant.py").write_text(INSTANT.replace("SLOPE = 2.0", "SLOPE = 2.5"))
    fork.commit("another slope")
    fork.git("push", "-q", "origin", "change")
    head = {"ref": "change", "sha": github.git("rev-parse", "change").strip(), "repo": {"full_name": github.repository}}
    base = {"ref": "main", "sha": github.git("rev-parse", "main").strip()}
    payload = {"action": "opened", "number": 7, "pull_request": {"number": 7, "head": head, "base": base}}
    run = github.run("ci", "pull_request", payload, revision="change").ok()
    assert run.jobs.get("test") != "success", "the template's own tests are not this change's"
    return list(billed("ci", run))


def billed(workflow: str, run: Run) -> Iterator[tuple[str, str, float, int]]:
    """Workflow, job, seconds of its verbs, minutes on the bill."""
    for job, result in run.jobs.items():
        if result == "success":
            seconds = run.seconds[job]
            yield workflow, job, seconds, math.ceil((START + SET_UP[level(run, job)] + seconds) / 60)


def level(run: Run, job: str) -> str:
    """The largest lock that a verb of the job asks for, by the lines that it ran."""
    needs = {"lint": "dev", "test-image": "dev", "train": "train", "evaluate": "train", "export": "train"}
    ran = [name.rpartition("./pipeline ")[2].partition(" ")[0] for (of, name) in run.steps if of == job]
    return max((needs.get(verb, "base") for verb in ran), key=requirements.LEVELS.index, default="base")


def table(title: str, rows: list[tuple[str, str, float, int]]) -> None:
    print(f"\n{title}\n{'workflow':<20}{'job':<12}{'seconds':>8}{'minutes':>9}")
    for workflow, job, seconds, minutes in rows:
        print(f"{workflow:<20}{job:<12}{seconds:>8.0f}{minutes:>9}")
    print(f"{'':<20}{'together':<12}{sum(row[2] for row in rows):>8.0f}{sum(row[3] for row in rows):>9}")
    print(f"a change of the template: {math.ceil((START + SET_UP['dev'] + SUITE) / 60)} more, for its own tests")
