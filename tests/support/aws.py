"""The real aws CLI and a local AWS (moto), in an environment of their own that is kept between runs: requirements/aws.txt."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.fork import ROOT
from tests.support.ports import free_ports

LOCK = ROOT / "requirements/aws.txt"
ACCOUNT = "123456789012"  # moto's


def environment(lock: Path = LOCK) -> Path:
    """The folder of its programs; made once for each content of the lock."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeline-aws"
    )  # not the engine's: this one may be deleted
    cache.mkdir(parents=True, exist_ok=True)
    folder = (
        cache
        / f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}-{sys.version_info[0]}{sys.version_info[1]}"
    )
    with (cache / f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two pytest processes
        if not (folder / "whole").exists():
            uv = _uv()
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
            sync = [
                uv,
                "pip",
                "sync",
                "--quiet",
                "--compile-bytecode",
                "--require-hashes",
                "--python",
                folder / "bin/python",
                lock,
            ]
            subprocess.run(sync, check=True)
            (folder / "whole").touch()
    return folder / "bin"


def _uv() -> str:
    """As the launcher finds or installs it, which is relative to the repository's root."""
    with contextlib.chdir(ROOT):
        from scripts.workspace import requirements

        return str(Path(requirements.find_uv()).absolute())


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """A local AWS; yields the environment in which `aws` speaks to it, and to nothing else."""
    programs, (port, _) = environment(), free_ports()
    url = f"http://127.0.0.1:{port}"
    with serving([programs / "moto_server", "--port", str(port)], f"{url}/moto-api/", folder):
        yield {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextlib.contextmanager
def serving(command: list[str | Path], url: str, folder: Path) -> Iterator[None]:
    """A server that answers at `url`, whatever it says."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(url, process)
            yield
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen) -> None:
    """Until it answers: the connection is refused until then, and each try is a system call or two."""
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None, f"{process.args} ended"
