"""`.venv/bin/python -m scripts` in a process that has TensorFlow already, for verbs that the tests do not start themselves.

Each step of a workflow that trains, judges or exports would import TensorFlow anew: 4 s of processor time each, 0.1 s so.
`venv()` is a folder like `.venv`, whose `python` has a server fork a process with the caller's folder, environment and open files; the
server itself is forked from the one process that has imported it.
"""

import atexit
import functools
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from tests.support.fork import ROOT, become, start_process

CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys
if sys.argv[1:3] != ["-m", "scripts"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"-"], [0, 1, 2])
server.sendall(json.dumps([os.getcwd(), sys.argv[3:], dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
answers = server.makefile()
verb = int(answers.readline())
signal.signal(signal.SIGINT, lambda number, frame: os.killpg(verb, number))
signal.signal(signal.SIGTERM, lambda number, frame: os.kill(verb, number))
sys.exit(int(answers.readline() or 137)) # nothing where it was killed
"""


@functools.cache
def venv() -> Path:
    """The folder; its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address = folder / "socket"
    (folder / "bin").mkdir()
    for path in [*(ROOT / ".venv").iterdir(), *(ROOT / ".venv/bin").iterdir()]:
        if not (place := folder / path.relative_to(ROOT / ".venv")).exists():
            place.symlink_to(path)
    client = folder / "bin/python"
    client.unlink()
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen()
    atexit.register(start_process(_serve, listener).kill)
    return folder


def _serve(listener: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the verbs here
    while True:
        client, _ = listener.accept()
        if not os.fork():
            listener.close()
            _run(client)
        client.close()


def _run(client: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # Ctrl-C is of a whole group: the caller passes it on to this one
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile("rw") as stream:
        folder, arguments, environment = json.load(stream)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdin = open(0)  # noqa: SIM115  (multiprocessing has put another in its place)
        stream.write(f"{become(folder, arguments, environment)}\n")
    os._exit(0)
