"""What a private fork is billed: the minutes of each job, by act on this machine, for a change of a model and one of the template.

    ./pipeline test -q -s tests/benchmarks/workflows

Measured is what runs here as it does there: the verbs, on a model that trains in a second, and the installation of their locks from
nothing. Assumed is what is stood in for. GitHub bills each job from its first step to its last, rounded up to a minute.
A machine that has other work to do is slower than a runner: the goals are those of an idle one.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.workspace import requirements
from tests.support.fork import INSTANT
from tests.workflows.act import Run
from tests.workflows.conftest import World
from tests.workflows.test_ci import TEST

# Seconds, assumed: the actions before the first verb, on a machine that has Python; the base image pulled; two attestations signed.
START = 25
ASSUMED = {"./pipeline image": 20, "actions/attest@": 15}
SUITE = 25 * 60  # what the template's own tests take on two cores, where CONTRIBUTING.md's command runs all of them
NEEDS = {
    "lint": "dev",
    "test-image": "dev",
    "sbom": "dev",
    "test": "dev",
    "train": "train",
}  # the lock of a verb; else the first
PULL_REQUEST, CYCLE = 10, 25  # minutes: the goal


@dataclass
class Row:
    workflow: str
    job: str
    verbs: float  # seconds
    before: float

    @property
    def minutes(self) -> int:
        return math.ceil((self.before + self.verbs) / 60)


@pytest.fixture(scope="module")
def installed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Seconds until a lock is installed on a machine that has nothing of it: uv by pip, then the wheels of each lock up to that one."""
    world.github.warm = False  # a runner has not
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["git", "clone", "-q", world.fork.root, folder / "fork"], check=True)
    empty = {"UV_CACHE_DIR": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1", "PATH": "/usr/bin:/bin"}
    began, found = time.monotonic(), {}
    for level in requirements.LEVELS:
        code = f"from scripts.workspace import requirements; requirements.ensure({level!r})"
        subprocess.run([sys.executable, "-c", code], cwd=folder / "fork", env=os.environ | empty, check=True)
        found[level] = time.monotonic() - began
    size = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    print(f"\nseconds to install a lock, all of them {size / 1e9:.1f} GB unpacked:")
    print("  ".join(f"{level} {seconds:.0f}" for level, seconds in found.items()))
    return found


@pytest.mark.timeout(900)
def test_a_change_of_a_model(world: World, installed: dict[str, float]) -> None:
    (world.fork.root / "scripts/test.py").write_text(TEST)
    world.fork.commit("stand in for the suite")
    world.github.push()
    rows = pull_request(world, installed, "model/instant.py", INSTANT.replace("SLOPE = 2.0", "SLOPE = 2.5"))
    assert "test" not in {row.job for row in rows}, "the template's own tests are not this change's"
    assert table("a push to a pull request that changes a model", rows) <= PULL_REQUEST
    world.fork.git("checkout", "-q", "main")
    world.fork.git("merge", "-q", "--no-ff", "-m", "Merge", "change")
    world.github.push()
    rows += billed("release", world.run("release", "push").ok(), installed)
    for environment in ("staging", "production"):
        before, after = world.github.merge(world.github.pull_requests()[0]["number"])
        run = world.run("deploy", "push", {"before": before, "after": after}).ok()
        assert world.ledger(environment)["id"] == world.ledger("dev")["id"]
        rows += billed(f"deploy {environment}", run, installed)
    assert table("from that push to production", rows) <= CYCLE


def test_a_change_of_the_template(world: World, installed: dict[str, float]) -> None:
    text = (world.fork.root / "scripts/steps/conclude.py").read_text()
    rows = pull_request(world, installed, "scripts/steps/conclude.py", text.replace("Fails if one", "It fails if one"))
    assert "model" not in {row.job for row in rows}, "the release would be the same"
    for row in rows:
        row.verbs += SUITE if row.job == "test" else 0
    table("a push to a pull request that changes the template", rows)


def pull_request(world: World, installed: dict[str, float], path: str, text: str) -> list[Row]:
    """What `ci` costs for a branch on which one file is another."""
    fork, github = world.fork, world.github
    fork.git("fetch", "-q", "origin")
    fork.git("checkout", "-q", "-B", "change", "origin/main")
    (fork.root / path).write_text(text)
    fork.commit("a change")
    fork.git("push", "-q", "-f", "origin", "change")
    head = {"ref": "change", "sha": github.git("rev-parse", "change").strip(), "repo": {"full_name": github.repository}}
    base = {"ref": "main", "sha": github.git("rev-parse", "main").strip()}
    payload = {"action": "opened", "number": 7, "pull_request": {"number": 7, "head": head, "base": base}}
    return list(billed("ci", github.run("ci", "pull_request", payload, revision="change").ok(), installed))


def billed(workflow: str, run: Run, installed: dict[str, float]) -> Iterator[Row]:
    """A row for each job that ran."""
    for job, result in run.jobs.items():
        if result == "success":
            steps = [name for (of, name) in run.steps if of == job]
            assumed = sum(
                seconds for start, seconds in ASSUMED.items() if any(name.startswith(start) for name in steps)
            )
            verbs = [name.split()[1] for name in steps if name.startswith("./pipeline ")]
            level = max((NEEDS.get(verb, "base") for verb in verbs), key=requirements.LEVELS.index, default="base")
            yield Row(workflow, job, run.seconds[job], START + installed[level] + assumed)


def table(title: str, rows: list[Row]) -> int:
    """Prints it. Returns the minutes together."""
    print(f"\n{title}\n{'workflow':<20}{'job':<10}{'seconds before':>16}{'of the verbs':>14}{'minutes':>9}")
    for row in rows:
        print(f"{row.workflow:<20}{row.job:<10}{row.before:>16.0f}{row.verbs:>14.0f}{row.minutes:>9}")
    minutes = sum(row.minutes for row in rows)
    print(f"{'together':<60}{minutes:>9}")
    return minutes
