"""GitHub for the tests: executes this repository's workflows with `act` on this machine, from a bare repository as their origin.

    github = GitHub(folder, fork)                        # a fork of tests/support/fork.py, whose origin becomes folder/origin.git
    run = github.run("release", "push", variables={...}, secrets={...})
    run.ok(); run.jobs["deploy"]; run.log; run.summary; github.pull_requests()

Steps run as in production, in a checkout of their own, against the real engine, registry and cluster; only Python has TensorFlow loaded
before a step asks for it (tests/support/warm.py), unless the run is `within` an environment of its own. Stand-ins are what is GitHub's or a
third party's: each `uses:` of another repository (actions.py), and `gh` (bin/gh), which keeps its side of the API in folder/github.json.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import warm
from tests.support.fork import ROOT, Fork, Result, run_verb

HERE = Path(__file__).parent
REPOSITORY = "acme/Model"  # an upper-case letter: image names must not have any
USES = re.compile(r"uses:\s*([\w.-]+/[\w./-]+@[0-9a-f]{40})")
INDEX = """require("child_process").execFileSync({python}, [{script}, {name}], {{stdio: "inherit"}});\n"""


@dataclass
class Run:
    """What a run of a workflow left: the result of each job by its id, the steps' results by job and id or name, the log as one text."""

    code: int
    jobs: dict[str, str] = field(default_factory=dict)
    steps: dict[tuple[str, str], str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # from the first word of each job to its last
    log: str = ""
    summary: str = ""
    annotations: list[str] = field(default_factory=list)

    def ok(self) -> "Run":
        assert self.code == 0, self.log
        return self

    def failed(self) -> "Run":
        assert self.code != 0, self.log
        return self


@dataclass
class Job:
    """Verbs as the steps of a job, without act."""

    root: Path
    variables: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> Result:
        path = f"{HERE / 'bin'}:{os.environ['PATH']}"
        return run_verb(self.root, arguments, os.environ | self.variables | environment | {"PATH": path})

    def ok(self, *arguments: str, **environment: str) -> Result:
        result = self.run(*arguments, **environment)
        assert result.code == 0, result.err
        return result


class GitHub:
    """`fork` with a remote `origin`, and the workflows that its branches have there."""

    def __init__(self, folder: Path, fork: Fork, repository: str = REPOSITORY, private: bool = False):
        self.folder, self.fork, self.repository = folder, fork, repository
        self.origin, self.state = folder / "origin.git", folder / "github.json"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.origin], check=True)
        fork.git("remote", "add", "origin", str(self.origin))
        fork.git("push", "-q", "-u", "origin", "main")
        self.write({"repository": {"full_name": repository, "private": private, "default_branch": "main"}})
        self.runs = 0
        self.warm = True  # steps find TensorFlow loaded

    # --- the API's side of things

    def read(self) -> dict[str, Any]:
        return json.loads(self.state.read_text())

    def write(self, document: dict[str, Any]) -> None:
        self.state.write_text(json.dumps(document, indent=1))

    def change(self, **values: Any) -> None:
        """Of the API: `fail=[[regular expression of "METHOD path", how often, words]]`, `can_open=False`, and whatever bin/gh keeps."""
        self.write(self.read() | values)

    def pull_requests(self, state: str = "open") -> list[dict[str, Any]]:
        return [pull for pull in self.read().get("pulls", []) if pull["state"] == state]

    def git(self, *arguments: str) -> str:
        command = ["git", "--git-dir", self.origin, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def merge(self, number: int) -> tuple[str, str]:
        """Merges a pull request as its button does. Returns main before and after: what a push event says."""
        document = self.read()
        pull = next(pull for pull in document["pulls"] if pull["number"] == number)
        before, fork = self.git("rev-parse", "main").strip(), self.fork
        fork.git("fetch", "-q", "origin")
        fork.git("checkout", "-q", "-B", "main", "origin/main")
        fork.git("merge", "-q", "--no-ff", "-m", f"Merge pull request #{number}", f"origin/{pull['head']['ref']}")
        fork.git("push", "-q", "origin", "main")
        pull["state"], pull["merged"] = "closed", True
        self.write(document)
        return before, fork.git("rev-parse", "HEAD").strip()

    def push(self) -> tuple[str, str]:
        """Pushes the fork's main, on top of what others have pushed. Returns main before and after."""
        before = self.git("rev-parse", "main").strip()
        self.fork.git("fetch", "-q", "origin")
        self.fork.git("rebase", "-q", "origin/main")
        self.fork.git("push", "-q", "origin", "main")
        return before, self.fork.git("rev-parse", "HEAD").strip()

    # --- a run

    def run(
        self,
        workflow: str,
        event: str,
        payload: dict[str, Any] | None = None,
        *,
        inputs: dict[str, str] | None = None,
        variables: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        revision: str = "main",
        branch: str = "main",
        job: str = "",
        within: tuple[str, ...] = (),
    ) -> Run:
        """Runs .github/workflows/WORKFLOW.yml as `revision` of origin, a commit of `branch`, has it; `payload` is added to the event's.

        Only `job` and what it needs, if one is named. `within` is a command that runs act, in an environment of its making.
        """
        self.runs += 1
        here = self.folder / f"run-{self.runs}"
        here.mkdir()
        self._clone(here / "tree", revision)
        (here / "event.json").write_text(json.dumps(self._event(event, payload or {}, inputs or {}, revision, branch)))
        command = [*within, str(Path(sys.executable).with_name("act")), event, *self._flags(here, workflow)]
        command += [f"--job={job}"] if job else []
        command += [f"--var={name}={value}" for name, value in (variables or {}).items()]
        # Values by the environment, since a kubeconfig has lines, and a command line is seen by everybody.
        command += [f"--secret={name}" for name in (secrets or {})]
        command += [
            f"--env={name}={value}"
            for name, value in (self._environment(workflow, within) | (environment or {})).items()
        ]
        path = f"{HERE / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
        done = subprocess.run(
            command,
            cwd=here / "tree",
            env=clean | (secrets or {}) | {"HOME": str(here), "PATH": path, "DOCKER_CONFIG": str(here / ".docker")},
            capture_output=True,
            text=True,
        )
        shutil.rmtree(here / "cache", ignore_errors=True)
        return _parse(done)

    def job(self) -> "Job":
        """A checkout of main as a job has it, to run single verbs in."""
        self.runs += 1
        tree = self.folder / f"job-{self.runs}"
        subprocess.run(["git", "clone", "-q", self.origin, tree], check=True)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        return Job(tree, {"GITHUB_REPOSITORY": self.repository, "STAND_IN_STATE": str(self.state)})

    def calls(self, action: str) -> list[dict[str, str]]:
        """What each call of an action (OWNER/NAME) was given, oldest first."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call["with"] for call in map(json.loads, lines) if call["action"] == action]

    def _clone(self, tree: Path, revision: str) -> None:
        subprocess.run(["git", "clone", "-q", "--no-checkout", self.origin, tree], check=True)
        commit = self.git("rev-parse", revision).strip()
        subprocess.run(["git", "checkout", "-q", "--detach", commit], cwd=tree, check=True)
        for path in tree.glob(".github/workflows/*.yml"):  # of 2026: act does not know them yet
            path.write_text(re.sub(r"^ *(queue: max|deployment: false).*\n", "", path.read_text(), flags=re.M))

    def _event(self, event: str, payload: dict[str, Any], inputs: dict, revision: str, branch: str) -> dict[str, Any]:
        owner, _, name = self.repository.partition("/")
        repository = self.read()["repository"] | {"name": name, "owner": {"login": owner}, "fork": False}
        document: dict[str, Any] = {"repository": repository, "ref": f"refs/heads/{branch}"}
        if event == "push":
            document |= {"before": "0" * 40, "after": self.git("rev-parse", revision).strip()}
        if inputs:
            document["inputs"] = inputs
        return document | payload

    def _environment(self, workflow: str, within: tuple[str, ...]) -> dict[str, str]:
        return {
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_RUN_ID": str(self.runs),
            "STAND_IN_STATE": str(self.state),
            "STAND_IN_ORIGIN": f"file://{self.origin}",
            "STAND_IN_FOLDER": str(self.folder),
            "STAND_IN_VENV": str(warm.venv() if self.warm and not within else ROOT / ".venv"),
            "STAND_IN_WORKFLOW": f"{workflow}.yml",
            # What is scanned for the list of packages is kept small: Debian's own, not the two thousand files of TensorFlow.
            "SYFT_DEFAULT_CATALOGERS": "dpkg-db-cataloger",
            "SYFT_FILE_METADATA_SELECTION": "none",
            "MPLCONFIGDIR": str(ROOT / "build/matplotlib"),  # the list of fonts takes seconds to make
        }

    def _flags(self, here: Path, workflow: str) -> list[str]:
        stand_ins = {self._stand_in(uses) for uses in self._uses(here / "tree")}
        actions = [f"--local-repository={repository}={folder}" for repository, folder in sorted(stand_ins)]
        platforms = ["ubuntu-24.04", "ubuntu-latest", "self-hosted"]
        return [
            f"--workflows=.github/workflows/{workflow}.yml",
            *(f"--platform={name}=-self-hosted" for name in platforms),
            *("--json", "--no-skip-checkout", "--no-cache-server", "--container-daemon-socket=-", "--pull=false"),
            *("--actor=octocat", f"--eventpath={here / 'event.json'}", f"--action-cache-path={here / 'cache'}"),
            *("--secret=GITHUB_TOKEN=stand-in", "--defaultbranch=main"),
            *actions,
        ]

    def _uses(self, tree: Path) -> set[str]:
        files = [*tree.glob(".github/workflows/*.yml"), *tree.glob(".github/actions/*/action.yml")]
        return {uses for file in files for uses in USES.findall(file.read_text())}

    def _stand_in(self, uses: str) -> tuple[str, Path]:
        """OWNER/NAME@COMMIT and its folder, with an action where `uses` says that sees every input and is a function of actions.py."""
        name, _, commit = uses.partition("@")
        owner, repository, *path = name.split("/")
        root = self.folder / "actions" / f"{owner}-{repository}-{commit}"
        folder = root.joinpath(*path)
        if not (folder / "action.yml").exists():
            folder.mkdir(parents=True, exist_ok=True)
            values = {"python": sys.executable, "script": str(HERE / "actions.py"), "name": name}
            (folder / "index.js").write_text(INDEX.format(**{key: json.dumps(value) for key, value in values.items()}))
            (folder / "action.yml").write_text(f"name: {name}\nruns: {{using: node20, main: index.js}}\n")
        return f"{owner}/{repository}@{commit}", root


def _parse(done: subprocess.CompletedProcess[str]) -> Run:
    run, text, began = Run(done.returncode), [], {}
    for line in done.stdout.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            text.append(line)
            continue
        _note(run, entry)
        if "jobID" in entry and "time" in entry:
            now = datetime.datetime.fromisoformat(entry["time"]).timestamp()
            run.seconds[entry["jobID"]] = now - began.setdefault(entry["jobID"], now)
        if not entry.get("msg", "").startswith("LocalRepositoryCache"):
            text.append(f"{entry.get('jobID', ''):>10} | {entry.get('msg', '').rstrip()}")
    run.log = "\n".join([*text, done.stderr])
    return run


def _note(run: Run, entry: dict[str, Any]) -> None:
    job, command = entry.get("jobID", ""), entry.get("command")
    if "jobResult" in entry:  # of a matrix, the worst: act reports each of its jobs under one id
        run.jobs[job] = "failure" if run.jobs.get(job) == "failure" else entry["jobResult"]
    if "stepResult" in entry and entry.get("stage") == "Main":
        for name in {entry.get("step", ""), *(entry.get("stepID") or [])}:
            run.steps[job, name] = entry["stepResult"]
    if command in ("error", "warning", "notice"):
        run.annotations.append(f"{command}: {entry.get('arg') or entry['msg']}")
    if command == "summary":
        run.summary += entry.get("content") or entry["msg"]
