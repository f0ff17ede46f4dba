"""The embedded server's memory under load: python -m tests.benchmarks.serving.soak [--requests 200000] [--models FOLDER]

Sends the fuzzer's mixture (well-formed, refused, broken and slow requests, by REST and gRPC) in twenty parts. After each it prints the
server's own resident memory, without what is mapped of files, its threads and its open files; at the end, how much the second half added.
"""

import argparse
import tempfile
from pathlib import Path

import psutil

from tests.serving import fuzz
from tests.serving.process import ModelServer

PARTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--models", type=Path, help="what tests/conformance/models.py has written")
    arguments = parser.parse_args()
    models, sizes = arguments.models or fuzz.newest_models(), []
    print("| requests | own memory MiB | threads | open files | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models.config").write_text(fuzz.config(models))
        flag, allocator = f"--model_config_file={folder}/models.config", {"MALLOC_ARENA_MAX": "2"}  # as k8s/base has it
        with ModelServer(flag, log=Path(folder) / "log", env=allocator) as server:
            process = psutil.Process(server.process.pid)
            for part in range(1, PARTS + 1):
                result = fuzz.fuzz(server, arguments.requests // PARTS, seed=part)
                assert not result["failures"], result["failures"]
                memory = process.memory_info()
                sizes.append((memory.rss - memory.shared) / 2**20)
                counts = f"{process.num_threads()} | {process.num_fds()} | {result['seconds']}"
                print(f"| {part * arguments.requests // PARTS} | {sizes[-1]:.1f} | {counts} |", flush=True)
    print(f"\nfrom half of the requests to all of them: {sizes[-1] - sizes[PARTS // 2 - 1]:+.1f} MiB")


if __name__ == "__main__":
    main()
