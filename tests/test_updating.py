"""docs/updating.md, followed to the letter: a fork that was set up on an older version takes today's, and is still itself.

The older version is today's with a change of each kind taken back, so that a clone without history can run this, too.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import FIRST, INSTANT, ROOT, Fork
from tests.support.ports import free_ports
from tests.test_promote import release

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/updating.md").read_text(), re.DOTALL)
TAKE, SEE, RESOLVE, RELATE = BLOCKS
OVERLAYS = ["dev", "staging", "production"]
LEDGER = ["kustomization.yaml", "release.json"]
MOVED = "scripts/_fork.py"  # where the older version has scripts/github/fork.py


def checkout(root: Path) -> Fork:
    """What Fork does, around a checkout that is there already."""
    fork = object.__new__(Fork)
    fork.root, fork.seconds, (fork.rest_port, fork.grpc_port) = root, FIRST, free_ports()
    (root / ".venv").symlink_to(ROOT / ".venv")
    for key, value in (("name", "fork"), ("email", "fork@example.com")):
        fork.git("config", f"user.{key}", value)
    return fork


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """The template: the older version, whose commit is `.older`, and on top of it what is in the working tree now."""
    template = Fork(tmp_path_factory.mktemp("upstream") / "template")
    shutil.copy2(ROOT / "pyproject.toml", template.root / "pyproject.toml")
    template.commit("today")
    today = template.git("rev-parse", "HEAD").strip()
    take_back(template)
    template.commit("older")
    template.older = template.git("rev-parse", "HEAD").strip()
    template.git("rm", "-rq", ".")
    template.git("checkout", today, "--", ".")
    template.commit("today again")
    return template


def take_back(template: Fork) -> None:
    """As it was before it knew the settings `by` and `attestation`, which stand beside a fork's own, a component, and some of its code."""
    template.edit("pyproject.toml", 'attestation = "where-possible"', "")
    for way in ("commit", "pull-request"):
        template.edit("pyproject.toml", f', by = "{way}" }}', " }")
    template.edit("k8s/base/deployment.yaml", "periodSeconds: 5", "periodSeconds: 6")
    template.edit("scripts/github/fork.py", '"""', '"""Older. ')
    template.git("mv", "scripts/github/fork.py", MOVED)  # before it had rooms
    shutil.rmtree(template.root / "k8s/components/ingress")
    (template.root / "scripts/_gone.py").write_text('"""Machinery that is not needed any more."""\n')


def configure(fork: Fork) -> None:
    """A model of its own, settings, a component, sizes, and a ledger with a release in every environment."""
    (fork.root / "model/flowers.py").write_text(INSTANT.replace('NAME = "instant"', 'NAME = "flowers"'))
    text = (fork.root / "pyproject.toml").read_text()
    text = re.sub(r"(?m)^models = \[.*?\]", 'models = ["flowers"]', text)
    text = re.sub(r'(?m)^image = ".*?"', 'image = "registry.example.com/team/flowers"', text)
    text = re.sub(r'(?m)^dev = \{ context = ".*?"', 'dev = { context = "one"', text)
    (fork.root / "pyproject.toml").write_text(text)
    overlay = "k8s/overlays/production"
    fork.edit(
        f"{overlay}/kustomization.yaml",
        "components: []",
        "components:\n  - ../../components/monitoring\ncomponents_: []",
    )
    fork.edit(f"{overlay}/kustomization.yaml", "\ncomponents_: []", "")
    fork.edit(f"{overlay}/replicas.yaml", "replicas: 3", "replicas: 5")
    fork.commit("ours")
    for number, environment in enumerate(OVERLAYS, 1):
        document = release(number)
        folder, image = fork.root / f"k8s/overlays/{environment}", document["image"]
        with (folder / "kustomization.yaml").open("a") as file:
            file.write(f"images:\n  - name: serving\n    newName: {image['name']}\n    digest: {image['digest']}\n")
        (folder / "release.json").write_text(json.dumps(document, indent=2) + "\n")
        label = f"{document['version']}-{document['id'][:12]}"
        fork.commit(f"{environment}: promote {label}\n\nAction: promote\nRelease: {label}\nOutcome: promoted")


def own(fork: Fork) -> dict[str, str]:
    """What the fork has made its own, by path: its model, and what it changed of its overlays."""
    changed = ["production/replicas.yaml", *(f"{e}/{file}" for e in OVERLAYS for file in LEDGER)]
    paths = ["model/flowers.py", *(f"k8s/overlays/{name}" for name in changed)]
    return {path: (fork.root / path).read_text() for path in paths}


@pytest.fixture
def configured(upstream: Fork, tmp_path: Path) -> Iterator[Fork]:
    subprocess.run(["git", "clone", "-q", "--no-tags", upstream.root, tmp_path / "fork"], check=True)
    fork = checkout(tmp_path / "fork")
    fork.git("reset", "-q", "--hard", upstream.older)
    fork.git("remote", "remove", "origin")
    configure(fork)
    yield fork
    fork.clean_up()


def follow(fork: Fork, block: str, upstream: Fork, commit: str = "") -> list[subprocess.CompletedProcess[str]]:
    text = block.replace("https://github.com/OWNER/TEMPLATE.git", str(upstream.root)).replace("COMMIT", commit)
    return [_line(fork, line) for line in text.splitlines()]


def _line(fork: Fork, line: str) -> subprocess.CompletedProcess[str]:
    if line.startswith("./pipeline"):
        done = fork.run(*shlex.split(line)[1:])
        return subprocess.CompletedProcess(line, done.code, done.out, done.err)
    return subprocess.run(["bash", "-c", line], cwd=fork.root, capture_output=True, text=True)


def conflicts(fork: Fork) -> list[str]:
    return fork.git("diff", "--name-only", "--diff-filter=U").split()


def see_that_it_is_still_itself(fork: Fork, before: dict[str, str], upstream: Fork) -> None:
    assert own(fork) == before
    settings = (fork.root / "pyproject.toml").read_text()
    for line in ('models = ["flowers"]', 'image = "registry.example.com/team/flowers"', 'dev = { context = "one"'):
        assert line in settings
    templates = ["scripts", "requirements", "k8s/base", "k8s/components"]
    assert fork.git("diff", "--stat", upstream.git("rev-parse", "HEAD").strip(), "--", *templates) == ""
    assert fork.git("status", "--porcelain") == ""
    fork.edit("pyproject.toml", "rest_port = 8501", f"rest_port = {fork.rest_port}")
    fork.edit("pyproject.toml", "grpc_port = 8500", f"grpc_port = {fork.grpc_port}")
    doctor, train, evaluate, history = follow(fork, SEE, upstream)
    for done in (doctor, train, evaluate, history):
        assert done.returncode == 0, done.stderr
    assert "promote" in history.stdout and "1750000001-111111111111" in history.stdout
    production = fork.ok("diff", "production", "--against", "HEAD")
    assert production.code == 0
    fork.ok("promote", "staging")  # dev's release, by today's verb on the older ledger
    assert "sha256:" + "1" * 64 in (fork.root / "k8s/overlays/staging/kustomization.yaml").read_text()


def test_a_configured_fork_takes_todays_version(configured: Fork, upstream: Fork) -> None:
    before = own(configured)
    *taken, merge = follow(configured, TAKE, upstream)
    assert [done.returncode for done in taken] == [0, 0, 0]
    assert conflicts(configured) == ["pyproject.toml"], merge.stdout
    for done in follow(configured, RESOLVE, upstream):
        assert done.returncode == 0, done.stderr
    see_that_it_is_still_itself(configured, before, upstream)


def test_a_copy_without_history_is_related_once(configured: Fork, upstream: Fork) -> None:
    """The same files, in a repository of its own."""
    shutil.rmtree(configured.root / ".git")
    configured.git("init", "-q", "-b", "main")
    for key, value in (("name", "fork"), ("email", "fork@example.com")):
        configured.git("config", f"user.{key}", value)
    configured.commit("a copy, configured")
    before = own(configured)
    for done in follow(configured, RELATE, upstream, upstream.older):
        assert done.returncode == 0, done.stderr
    assert own(configured) == before
    merge = follow(configured, TAKE.split("\n", 1)[1], upstream)[-1]
    assert conflicts(configured) == ["pyproject.toml"], merge.stdout
    assert all(done.returncode == 0 for done in follow(configured, RESOLVE, upstream))
    assert own(configured) == before


def test_an_edit_follows_the_file_that_it_was_made_in(configured: Fork, upstream: Fork) -> None:
    with (configured.root / MOVED).open("a") as file:
        file.write("# ours\n")
    configured.commit("our own addition to the template's")
    follow(configured, TAKE, upstream)
    assert conflicts(configured) == ["pyproject.toml"]
    assert (configured.root / "scripts/github/fork.py").read_text().endswith("# ours\n")


def test_only_what_both_changed_conflicts(configured: Fork, upstream: Fork) -> None:
    """The third row of the page's table."""
    (configured.root / MOVED).write_text('"""Ours."""\n')
    configured.commit("our own edit of the template's")
    follow(configured, TAKE, upstream)
    assert conflicts(configured) == ["pyproject.toml", "scripts/github/fork.py"]
