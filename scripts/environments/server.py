"""The embedded model server as a command, and the configuration file that says which models it serves."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from scripts.release.releases import Release
from scripts.workspace import files, requirements


def command(config: Path, host: str, rest_port: int, grpc_port: int) -> list[str]:
    """The command line of a server that follows changes of `config`; every flag but the first is TensorFlow Serving's own."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        str(Path(requirements.PYTHON).absolute()),
        *["-m", "serving.embedded"],
        f"--bind_address={host}",
        f"--rest_api_port={rest_port}",
        f"--port={grpc_port}",
        f"--model_config_file={config.absolute()}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
        "--enable_grpc_healthcheck_service=true",
        f"--monitoring_config_file={Path('serving/monitoring.config').absolute()}",
        f"--tensorflow_intra_op_parallelism={threads}",
        f"--tensorflow_inter_op_parallelism={threads}",
    ]


@contextmanager
def spawned(command: list[str], log: Path) -> Generator[int]:
    """Yields the number of a process that runs `command` once the block has ended well. The process is detached: its own session, no
    terminal, no inherited pipe.

    If the block or this process fails before that, the new process ends too, so that no server runs unrecorded.
    """
    held = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "held", *command]
    with log.open("w") as output:
        process = subprocess.Popen(held, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
    assert process.stdin is not None
    with process.stdin:
        yield process.pid
        process.stdin.write(b"go\n")


def write_config(path: Path, base: Path, release: Release | None) -> None:
    """The models of `release`, each at exactly its version, below `base`; without a release, no models."""
    entries = (
        [_entry(base / model["name"], model["name"], release.version) for model in release.models] if release else []
    )
    files.write(path, "\n".join(["model_config_list {", *entries, "}", ""]))


def _entry(base: Path, name: str, version: int) -> str:
    from google.protobuf import text_encoding  # a path may hold quotes and backslashes

    folder = text_encoding.CEscape(str(base.absolute()), as_utf8=True)
    policy = f"model_version_policy {{ specific {{ versions: {version} }} }}"
    return f'  config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" {policy} }}'
