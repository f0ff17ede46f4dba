"""What fetching costs over the bare transfer, and over nothing where all is there."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.test_command_line import medians, seconds
from tests.support import web
from tests.support.fork import INSTANT, Fork

SIZE = 2**30  # bytes
FILES = 1000
BARE = """\
import hashlib, requests, sys
total = hashlib.sha256()
with requests.get(sys.argv[1], stream=True) as answer, open(sys.argv[2], "wb") as file:
    for chunk in answer.iter_content(2**23):
        total.update(chunk)
        file.write(chunk)
"""


def declare(fork: Fork, url: str) -> None:
    fork.write_model(f'{INSTANT}\nSOURCES = {{"numbers": Source("{url}")}}\n')
    fork.edit("model/instant.py", "import Data,", "import Data, Source,")


def test_a_transfer(fork: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with web.serving() as server:
        server.files["x.bin"] = os.urandom(2**20) * (SIZE // 2**20)
        declare(fork, server.url("x.bin"))
        subprocess.run(["./pipeline", "fetch", "--update"], cwd=fork.root, check=True)

        def fetch() -> float:
            subprocess.run(["rm", "-rf", tmp_path / "cache"], check=True)
            return seconds(["./pipeline", "fetch"], fork.root)

        bare = [sys.executable, "-c", BARE, server.url("x.bin"), str(tmp_path / "x.bin")]
        plain, whole = medians(lambda: seconds(bare, fork.root), fetch, rounds=3)
    print(
        f"\n./pipeline fetch of {SIZE / 2**30:.0f} GiB: {whole:.2f} s; bare, with its SHA-256: {plain:.2f} s; ratio {whole / plain:.2f}"
    )
    assert whole <= 2 * plain


def test_what_is_there(fork: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for number in range(FILES):
        (tmp_path / f"data/{number}.bin").write_bytes(hashlib.sha256(str(number).encode()).digest())
    declare(fork, f"file://{tmp_path}/data/*.bin")
    subprocess.run(["./pipeline", "fetch", "--update"], cwd=fork.root, check=True)
    begin = time.perf_counter()
    result = subprocess.run(["./pipeline", "fetch"], cwd=fork.root, check=True, capture_output=True, text=True)
    print(f"\n{FILES} files that are there: {time.perf_counter() - begin:.2f} s")
    assert f"{FILES} files, all there" in result.stderr
