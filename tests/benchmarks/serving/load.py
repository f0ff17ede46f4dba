"""The load of one cell, from a process of its own.

    python -m tests.benchmarks.serving.load rest 127.0.0.1:8501 /v1/models/m:predict body.json 16 3
    python -m tests.benchmarks.serving.load grpc 127.0.0.1:8500 /tensorflow.serving.PredictionService/Predict body.bin 16 3

Prints one JSON object: requests answered well, errors, requests per second, and latency percentiles in milliseconds.
"""

import json
import sys
from pathlib import Path

import uvloop

from scripts.environments import load as loading

if __name__ == "__main__":
    protocol, address, path, file, clients, seconds = sys.argv[1:]
    load = loading.run(protocol, address, path, Path(file).read_bytes(), int(clients), float(seconds))
    print(json.dumps(uvloop.run(load)))
