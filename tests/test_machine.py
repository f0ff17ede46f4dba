"""Machines as people have them: proxies, certificates, variables of Python and pip, folders with any name, locales, limits."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import ROOT, Fork
from tests.test_promote import push, release

NOWHERE = "http://127.0.0.1:1"
THEIRS = re.compile(r"(?i)_proxy$|_CA_BUNDLE$|^SSL_CERT|^PIP_|^UV_|^XDG_")  # what this very machine may have set
PROXIES = dict.fromkeys(["http_proxy", "https_proxy", "HTTPS_PROXY", "grpc_proxy", "all_proxy"], NOWHERE)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    """A fork with a release, in a folder whose name has all that a name can have."""
    fork = Fork(tmp_path_factory.mktemp("machine") / 'it\'s "ours" \\ größer [x]')
    fork.write_model()
    fork.commit("instant")
    for verb in ("train", "evaluate", "export"):
        fork.ok(verb)
    yield fork
    fork.clean_up()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    """A fork with a release in dev, also below an odd name."""
    fork = Fork(tmp_path_factory.mktemp("machine") / 'the "ledger" \\ größer')
    push(fork, release(1))
    fork.ok("promote", "dev")
    return fork


def settled(**variables: str) -> dict[str, str]:
    """The environment as verbs see it, where the user has set `variables`."""
    program = "import os, sys, json; sys.path.insert(0, ''); from scripts.workspace import machine; machine.settle(); "
    program += "print(json.dumps(dict(os.environ)))"
    plain = {name: value for name, value in os.environ.items() if not THEIRS.search(name)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=plain | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_server_on_this_computer_is_reached_by_no_proxy(odd: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    assert "all right" in odd.ok("deploy", "local").err
    odd.ok("verify", "local")
    odd.ok("status", "local")


def test_what_a_user_keeps_off_the_proxy_stays_off_it() -> None:
    environment = settled(http_proxy=NOWHERE, no_proxy="a.example", NO_PROXY="b.example,localhost")
    assert environment["no_proxy"] == environment["NO_PROXY"] == "a.example,b.example,localhost,127.0.0.1,::1"
    assert "no_proxy" not in settled()
    everything = settled(HTTP_PROXY=NOWHERE, NO_PROXY="*")
    assert everything["no_proxy"] == everything["NO_PROXY"] == "*"


def test_the_users_python_is_not_the_pipelines(tmp_path: Path) -> None:
    """Also not by the launcher: what is imported must be what is locked."""
    (tmp_path / "rich.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "usercustomize.py").write_text("raise SystemExit('nor this')")
    hostile = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2"}
    done = subprocess.run(
        [sys.executable, "./pipeline", "history", "local"],
        cwd=ROOT,
        env=os.environ | hostile | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kept = settled(PYTHONBREAKPOINT="ipdb.set_trace", **hostile)
    assert {name for name in kept if name.startswith("PYTHON")} >= {"PYTHONBREAKPOINT", "PYTHONUTF8"}
    assert not {*hostile} & kept.keys()


def test_certificates_are_known_to_whoever_asks(tmp_path: Path) -> None:
    bundle = tmp_path / "corporate.pem"
    bundle.write_text("")
    assert settled(SSL_CERT_FILE=str(bundle))["REQUESTS_CA_BUNDLE"] == str(bundle)
    program = "from scripts.workspace import machine; print(machine.of_installers()['SSL_CERT_FILE'])"
    environment = {name: value for name, value in os.environ.items() if not THEIRS.search(name)}
    environment |= {"REQUESTS_CA_BUNDLE": str(bundle)}
    found = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=environment, text=True)
    assert found.strip() == str(bundle)


def test_certificates_that_are_not_there_are_told(odd: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/corporate.pem")
    result = odd.run("status", "local")
    assert (result.code, result.err) == (
        1,
        "error: REQUESTS_CA_BUNDLE names the certificates /nonexistent/corporate.pem, and there is no such file\n"
        "  next: unset REQUESTS_CA_BUNDLE, or mend it\n",
    )


MACHINES: dict[str, dict[str, str | None]] = {
    "without a HOME, in the locale C": {"HOME": None, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
    # Not even root can write to that HOME, and to rename or to link from there to here fails.
    "with a HOME to read, and temporary files on another disk": {"HOME": "/proc/1", "TMPDIR": "/dev/shm"},
}


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere those folders and programs have other names")


@linux
@pytest.mark.parametrize("machine", MACHINES)
def test_the_whole_way(odd: Fork, ledger: Fork, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MACHINES[machine].items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    for verb in (["train"], ["evaluate"], ["export"], ["deploy", "local"], ["status", "local"]):
        odd.ok(*verb)
    ledger.ok("promote", "dev", "--reason", f"größer: {machine}")
    assert machine in ledger.ok("history", "dev").out
    assert ledger.git("status", "--porcelain") == ""


@linux
def test_private_files_few_of_them_open_and_no_terminal(odd: Fork, ledger: Fork) -> None:
    limits = "umask 077; ulimit -n 256; exec setsid --wait ./pipeline"
    for fork, verb in ((odd, "deploy local"), (odd, "status local"), (ledger, "promote dev --reason private")):
        done = subprocess.run(["/bin/sh", "-c", f"{limits} {verb}"], cwd=fork.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert ledger.git("ls-files", "--stage", "k8s/overlays/dev/ledger.json").startswith("100644 ")
    assert ledger.git("status", "--porcelain") == ""


def test_a_small_limit_of_open_files_is_raised() -> None:
    program = "import resource; from scripts.workspace import machine; machine.settle(); print(*resource.getrlimit(7))"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = f"ulimit -S -n 256; {sys.executable} -c '{program}'"
    soft, _ = subprocess.check_output(["/bin/sh", "-c", command], cwd=ROOT, text=True).split()
    assert int(soft) == (4096 if hard == resource.RLIM_INFINITY else min(4096, hard))


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc, to which not even root writes: uv then keeps its cache beside the environment."""
    environment = {name: value for name, value in os.environ.items() if not THEIRS.search(name)}
    program = "from scripts.workspace import machine; print(machine.of_installers()['UV_CACHE_DIR'])"
    command = [sys.executable, "-c", program]
    found = subprocess.check_output(command, cwd=ROOT, env=environment | {"HOME": "/proc/1"}, text=True)
    assert found.strip() == str(ROOT / ".uv/cache")
