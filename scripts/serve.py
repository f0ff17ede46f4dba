"""Serves a release in the foreground: TensorFlow Serving's REST and gRPC API, until Ctrl-C"""

import argparse
import os
from pathlib import Path

from scripts import _console, _local, _release, _server, _settings

NEEDS = "serve"
CONFIG = Path("build/serve.config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--release", help="its name or version, in place of the newest export")
    parser.add_argument("--host", default=_local.HOST, help="the address to listen on (default: %(default)s)")


def run(release: str | None, host: str) -> int:
    settings = _settings.read()
    chosen = _release.stored(release) if release else _release.read()
    chosen.check_files()
    for name in ("rest_port", "grpc_port"):
        _local.refuse_taken(name, getattr(settings, name))
    _server.write_config(CONFIG, chosen.folder / "models", chosen)
    _console.say(
        f"release {chosen.name} on http://{host}:{settings.rest_port} and gRPC port {settings.grpc_port}; Ctrl-C stops it"
    )
    command = _server.command(CONFIG, host, settings.rest_port, settings.grpc_port)
    os.execv(command[0], command)
