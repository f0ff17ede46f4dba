#!/usr/bin/env python3.11
"""The stand-in with as many threads as TensorFlow Serving has: in the place of /usr/bin/tensorflow_model_server, see test_test_image.py.

TensorFlow Serving starts a pool of 256 threads to measure each model on disk, for up to 4 × CPUs models at once, whatever the
container may use. Where it may not start one of them, it dies by SIGSEGV. These do nothing, and stay until the server ends.
"""

import os
import re
import signal
import sys
import threading
from pathlib import Path

sys.path[0:1] = ["/opt/server", "/opt/packages"]  # as the stand-in's own command has it

POOL = 256


def start() -> None:
    config = next(flag.partition("=")[2] for flag in sys.argv if flag.startswith("--model_config_file="))
    models = len(re.findall(r"\bbase_path\b", Path(config).read_text()))
    threading.stack_size(64 * 1024)
    for _ in range(POOL * min(models, 4 * (os.cpu_count() or 1))):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    threading.stack_size(0)


def die() -> None:
    """With TensorFlow Serving's last words. Their exit code is 139, that of a SIGSEGV."""
    print("Thread tf_ModelDiskSizePool creation via pthread_create() failed.", file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGSEGV)


def main() -> int:
    try:
        start()
    except RuntimeError:  # can't start new thread
        die()
    from serving.embedded.__main__ import main as serve

    return serve(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
