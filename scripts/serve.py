"""Serves a release in the foreground: TensorFlow Serving's REST and gRPC API, until Ctrl-C"""

import argparse
import os
from pathlib import Path

from scripts.environments import local, server
from scripts.release import releases
from scripts.workspace import console, settings

NEEDS = "serve"
CONFIG = Path("build/serve.config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--release", help="its name or version, in place of the newest export")
    parser.add_argument("--host", default=local.HOST, help="the address to listen on (default: %(default)s)")


def run(release: str | None, host: str) -> int:
    chosen = settings.read()
    served = releases.stored(release) if release else releases.read()
    served.check_files()
    for name in ("rest_port", "grpc_port"):
        local.refuse_taken(name, getattr(chosen, name))
    server.write_config(CONFIG, served.folder / "models", served)
    console.say(
        f"release {served.name} on http://{host}:{chosen.rest_port} and gRPC port {chosen.grpc_port}; Ctrl-C stops it"
    )
    command = server.command(CONFIG, host, chosen.rest_port, chosen.grpc_port)
    os.execv(command[0], command)
