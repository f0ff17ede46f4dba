"""fetch: data and weights from elsewhere, by hash. Real servers, which break off, refuse, and serve other bytes."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.release import pointers
from tests.support import clouds, web
from tests.support.fork import INSTANT, Fork, Result, run_verb
from tests.support.web import Web

DATA = b"1.0\n2.0\n" + b"#" * 3_000_000
DECLARED = 'SOURCES = {"numbers": Source("URL")}\n'
READS = """\
def data() -> Data:
    with path("numbers").open() as file:
        x = np.array([[float(line)] for line in file if line[0] != "#"], "float32")
"""


def model(url: str, declared: str = DECLARED, **replaced: str) -> str:
    text = INSTANT.replace("import Data,", "import Data, Source, path,")
    text = text.replace("def data() -> Data:\n", declared.replace("URL", url) + READS)
    return text.replace('    x = np.array([[1.0], [2.0]], "float32")\n', "")


@pytest.fixture
def server() -> Iterator[Web]:
    with web.serving() as server:
        server.files["numbers.csv"] = DATA
        yield server


@pytest.fixture
def fork(shared_fork: Fork, tmp_path: Path) -> Iterator[Fork]:
    """The module's fork, with a cache of its own, and cleaned of what a test did."""
    shared_fork.cache = tmp_path / "cache"
    yield shared_fork
    shared_fork.git("checkout", "-q", ".")
    shared_fork.git("clean", "-qfdx", "model", "build")


def run(fork: Fork, *arguments: str, **environment: str) -> Result:
    return run_verb(fork.root, arguments, os.environ | {"XDG_CACHE_HOME": str(fork.cache)} | environment)


def fetch(fork: Fork, *arguments: str, **environment: str) -> Result:
    return run(fork, "fetch", *arguments, **environment)


def note(fork: Fork, url: str, **options: str) -> None:
    fork.write_model(model(url, **options))
    result = fetch(fork, "--update")
    assert result.code == 0, result.err


def identity(fork: Fork) -> str:
    code = "from scripts.release import identity; print(identity.of_release(['instant']))"
    return subprocess.run(
        [fork.root / ".venv/bin/python", "-c", code], cwd=fork.root, capture_output=True, text=True, check=True
    ).stdout


def test_a_model_is_trained_on_what_was_noted(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    assert fork.read("model/sources.json") == {
        "numbers": {"sha256": hashlib.sha256(DATA).hexdigest(), "size": len(DATA)}
    }
    shutil.rmtree(fork.cache)
    trained = run(fork, "train")  # which brings what it lacks
    assert trained.code == 0 and "fetch      1 of 1 file, 2.9 MiB" in trained.err
    shown = fork.root / "build/sources/numbers.csv"
    assert shown.read_bytes() == DATA and not stat.S_IMODE(shown.stat().st_mode) & 0o222
    shown.unlink()
    shown.write_text("as an editor leaves it")
    assert fetch(fork).code == 0 and shown.read_bytes() == DATA


def test_content_decides_and_not_its_place(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    before = identity(fork)
    server.files["moved/other.csv"] = DATA
    note(fork, server.url("moved/other.csv"))
    assert identity(fork) == before
    server.files["moved/other.csv"] = DATA + b"3.0\n"
    note(fork, server.url("moved/other.csv"))
    assert identity(fork) != before


def test_what_is_there_is_not_brought_again(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    server.sent.clear()
    assert "1 file, all there" in fetch(fork).err
    server.files["same.csv"] = DATA
    fork.write_model(model(server.url("same.csv")))
    assert fetch(fork).code == 0 and server.sent == []


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_transfer_that_breaks_off_goes_on(fork: Fork, server: Web, ranges: bool) -> None:
    note(fork, server.url("numbers.csv"))
    shutil.rmtree(fork.cache)
    server.ranges, server.cut = ranges, 1
    server.sent.clear()
    assert fetch(fork).code == 0
    assert (fork.root / "build/sources/numbers.csv").read_bytes() == DATA
    begins = [begin for _, begin in server.sent]
    assert begins[0] == 0 and (begins[1] > 0) == ranges


def test_one_that_always_breaks_off_is_told_and_the_next_call_goes_on(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    shutil.rmtree(fork.cache)
    server.cut = 3
    result = fetch(fork)
    assert result.code == 1 and "cannot be read" in result.err and "goes on" in result.err
    server.sent.clear()
    assert fetch(fork).code == 0 and server.sent[0][1] > 0


@pytest.mark.parametrize("content", [DATA.replace(b"2.0", b"9.0"), DATA[:1000]], ids=["other bytes", "half of them"])
def test_other_bytes_than_noted_are_refused(fork: Fork, server: Web, content: bytes) -> None:
    note(fork, server.url("numbers.csv"))
    shutil.rmtree(fork.cache)
    server.files["numbers.csv"] = content
    result = fetch(fork)
    assert result.code == 1
    assert "is not what model/sources.json notes" in result.err and "./pipeline fetch --update numbers" in result.err
    assert not list(fork.cache.glob("pipeline-sources/??/*"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "is not there\n  next: put it there, or edit model/instant.py"),
        (403, "may not be read: ClientResponseError: 403"),
        (401, "may not be read: ClientResponseError: 401"),
    ],
    ids=["gone", "forbidden", "not logged in"],
)
def test_what_a_server_refuses_is_told_at_the_first_answer(fork: Fork, server: Web, status: int, words: str) -> None:
    note(fork, server.url("numbers.csv"))
    shutil.rmtree(fork.cache)
    server.status = status
    result = fetch(fork)
    assert result.code == 1 and words in result.err and server.refused == 1, result.err
    assert status == 404 or "log in as that cloud's own tools do" in result.err


def test_a_folder_is_a_manifest_and_only_what_changed_is_brought(fork: Fork, tmp_path: Path) -> None:
    place = tmp_path / "bucket/flats"
    (place / "north").mkdir(parents=True)
    for name in ("a", "north/b"):
        (place / f"{name}.csv").write_text(name)
    (place / "notes.txt").write_text("no data")
    fork.write_model(INSTANT + DECLARED.replace("URL", f"file://{place}/**/*.csv").replace("(", "(", 1))
    fork.edit("model/instant.py", "import Data,", "import Data, Source,")
    assert fetch(fork, "--update").code == 0
    assert list(fork.read("model/sources.json")["numbers"]["files"]) == ["a.csv", "north/b.csv"]
    assert (fork.root / "build/sources/numbers/north/b.csv").read_text() == "north/b"
    (place / "c.csv").write_text("c")
    result = fetch(fork, "--update", "numbers")
    assert result.code == 0 and "numbers: changed" in result.err
    assert sorted(path.name for path in (fork.root / "build/sources/numbers").rglob("*.csv")) == [
        "a.csv",
        "b.csv",
        "c.csv",
    ]


STREAMED = """\
def data() -> Data:
    rows, before = [], None
    for file in each("numbers"):
        assert not before or not before.exists()
        rows, before = rows + [[float(file.read_text())]], file
    x = np.array(rows, "float32")
"""


def test_a_stream_is_read_file_by_file_and_no_more_than_one_is_on_the_disk(fork: Fork, tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    place.mkdir()
    for number in (1, 2, 3):
        (place / f"{number}.txt").write_text(f"{number}.0")
    declared = DECLARED.replace('"URL"', f'"file://{place}/*.txt", stream=True')
    fork.write_model(model("", declared=declared).replace(READS, STREAMED).replace("Source, path,", "Source, each,"))
    result = fetch(fork, "--update")
    assert result.code == 0 and "fetch      numbers as a stream" in result.err
    for verb in ("train", "evaluate", "export"):  # each a process of its own
        result = run(fork, verb)
        assert result.code == 0, result.err
    assert not list(fork.cache.glob("pipeline-sources/??/*"))
    (place / "2.txt").write_text("2.5")
    result = run(fork, "train")
    assert result.code == 1 and "(2.txt) is not what model/sources.json notes" in result.err, result.err


def test_only_its_own_sources_are_in_a_models_identity(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    before = identity(fork)
    notes = fork.read("model/sources.json") | {"of another": {"sha256": "0" * 64, "size": 1}}
    (fork.root / "model/sources.json").write_text(json.dumps(notes))
    assert identity(fork) == before


def test_a_sample_stands_in_its_place_and_makes_another_release(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"), declared='SOURCES = {"numbers": Source("URL", sample="small.csv")}\n')
    before = identity(fork)
    (fork.root / "model/small.csv").write_text("1.0\n")
    server.status = 403
    shutil.rmtree(fork.cache)
    assert "a sample in the place of numbers" in fetch(fork, "--sample").err
    assert (fork.root / "build/sources/numbers.csv").read_text() == "1.0\n"
    assert identity(fork) != before
    fork.ok("train")


def test_prune_removes_what_this_checkout_does_not_use(fork: Fork, server: Web) -> None:
    note(fork, server.url("numbers.csv"))
    server.files["numbers.csv"] = DATA + b"3.0\n"
    assert fetch(fork, "--update").code == 0
    assert "pruned     1 files; 0.0 GB are left" in fetch(fork, "--prune", "0").err
    assert "1 file, all there" in fetch(fork).err


def test_a_certificate_of_an_unknown_authority_is_told(fork: Fork, tmp_path: Path) -> None:
    file = web.certificate(tmp_path)
    with web.serving(file) as server:
        server.files["numbers.csv"] = DATA
        fork.write_model(model(server.url("numbers.csv", "https")))
        result = fetch(fork, "--update")
        assert result.code == 1 and "CERTIFICATE_VERIFY_FAILED" in result.err and "SSL_CERT_FILE" in result.err
        assert fetch(fork, "--update", SSL_CERT_FILE=str(tmp_path / "public.pem")).code == 0


def test_a_disk_that_is_too_small_is_told_before_the_transfer(fork: Fork, server: Web, small_disk) -> None:
    note(fork, server.url("numbers.csv"))
    shutil.rmtree(fork.cache)
    small_disk(fork.cache, 1000)
    server.sent.clear()
    result = fetch(fork)
    assert result.code == 1 and "0.0 GiB left, and 0.0 GiB are to be brought" in result.err and not server.sent


def test_a_model_that_was_trained_elsewhere(fork: Fork, tmp_path: Path) -> None:
    """Its weights are a source, judged, exported and named as any other's."""
    fork.release()
    (saved,) = (fork.root / "build/release/models/instant").iterdir()
    shutil.copytree(saved, tmp_path / "bucket/saved")
    text = INSTANT.replace("import Data,", "import Data, Source, path,")
    body = text.index("def network()"), text.index("def serving(")
    loads = f'SOURCES = {{"saved": Source("file://{tmp_path}/bucket/saved/")}}\n\n\ndef network():\n'
    loads += '    return tf.saved_model.load(str(path("saved")))\n\n\n'
    served = (
        text[: body[0]] + loads + text[body[1] :].replace("network(x)", 'network.signatures["serving_default"](x)["y"]')
    )
    fork.write_model(served)
    assert fetch(fork, "--update").code == 0
    for verb in ("train", "evaluate", "export"):
        result = run(fork, verb)
        assert result.code == 0, result.err
    (entry,) = fork.read("build/release/release.json")["models"]
    source = entry["sources"]["saved"]
    assert source["url"] == f"file://{tmp_path}/bucket/saved/" and source["size"] > 0
    assert source["url"] in (fork.root / "build/instant/card.md").read_text()


CLOUD = "import sys; sys.path += [sys.argv.pop(1)]; from scripts.__main__ import main; sys.exit(main(sys.argv[1:]))"
FILL = """import sys, fsspec
sys.path += [sys.argv[1]]
system, bucket = fsspec.url_to_fs(sys.argv[2])
system.mkdir(bucket)
for name in ("a", "north/b"):
    system.pipe(f"{bucket}/2026/{name}.csv", name.encode())
"""


@pytest.mark.parametrize("scheme", clouds.CLOUDS)
def test_a_bucket(fork: Fork, tmp_path: Path, scheme: str) -> None:
    """With a package that the fork has added: here it lies in an environment of its own, behind this one's."""
    running, lock = clouds.CLOUDS[scheme]
    with running(tmp_path) as variables:
        python, packages = fork.root / ".venv/bin/python", clouds.packages(lock)
        names = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(fork.cache)} | variables
        anywhere = {"AWS_DEFAULT_REGION": "us-east-1"}  # the only one in which a bucket needs no place named
        subprocess.run([python, "-c", FILL, packages, f"{scheme}://flats"], env=names | anywhere, check=True)
        fork.write_model(INSTANT + DECLARED.replace("URL", f"{scheme}://flats/2026/"))
        fork.edit("model/instant.py", "import Data,", "import Data, Source,")

        def fetch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            command = [python, "-c", CLOUD, packages, "fetch", *arguments]
            return subprocess.run(command, cwd=fork.root, env=names | environment, capture_output=True, text=True)

        first = fetch("--update")
        assert first.returncode == 0, first.stderr
        assert (fork.root / "build/sources/numbers/north/b.csv").read_text() == "north/b"
        assert "numbers: as it was" in fetch("--update").stderr
        shutil.rmtree(fork.cache)
        if nobody := clouds.without_key(variables):
            refused = fetch(HOME=str(tmp_path), **nobody)
            assert refused.returncode == 1 and "log in as that cloud's own tools do" in refused.stderr


BAD = {
    "nobody listens": ("https://127.0.0.1:1/x", "cannot be read: ClientConnectorError"),
    "a scheme like no other": ("s4://bucket/x", "nothing reads s4://; there is: file, http, https, oci, s3"),
    "a package is missing": (
        "gs://bucket/x",
        "gs:// is read by gcsfs, which is not installed\n  next: ./pipeline add gcsfs",
    ),
    "a folder by HTTP": ("http://127.0.0.1:1/data/", "a folder cannot be listed by http://"),
    "no file": ("file:///nowhere/x.csv", "the source 'numbers': file:///nowhere/x.csv is not there"),
    "an empty pattern": ("file:///nowhere/*.csv", "is not there"),
    "an artifact without a tag": ("oci://registry.example.com/data", "names no tag and no digest"),
}


@pytest.mark.parametrize("defect", BAD)
def test_an_address_without_content_is_told(fork: Fork, defect: str) -> None:
    url, words = BAD[defect]
    fork.write_model(model(url))
    result = fetch(fork, "--update")
    assert result.code == 1 and words in result.err and not (fork.root / "model/sources.json").exists()


MALFORMED = {
    "a name that is computed": (
        'SOURCES = {"numbers": Source(NAME)}\n',
        "line 13: SOURCES cannot be read without running it",
    ),
    "two of one name": (
        'SOURCES = {"n": Source("file:///a"), "n": Source("file:///b")}\n',
        "two sources are called 'n'",
    ),
    "a name that is no file's": ('SOURCES = {"a/b": Source("file:///a")}\n', "'a/b' is no name for a source"),
    "one that is not declared": (
        'SOURCES = {"number": Source("file:///a")}\n',
        "no SOURCES declares 'numbers'; did you mean 'number'?",
    ),
    "a stream of which a path is asked": (
        'SOURCES = {"numbers": Source("file:///a/", stream=True)}\n',
        """'numbers' is a stream, and no file of it is kept\n  next: edit model/instant.py: each("numbers")""",
    ),
    "not noted": (
        'SOURCES = {"numbers": Source("file:///a")}\n',
        "does not say what lies in numbers\n  next: ./pipeline fetch --update numbers",
    ),
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_a_declaration_with_a_defect_is_told(fork: Fork, defect: str) -> None:
    declared, words = MALFORMED[defect]
    fork.write_model(model("", declared=declared))
    result = fetch(fork)
    assert result.code == 1 and words in result.err


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n"


def test_a_pointer_of_git_lfs_has_the_identity_of_its_file(fork: Fork) -> None:
    content = b"the file itself"
    (fork.root / "model/instant").mkdir()
    file = fork.root / "model/instant/weights.bin"
    file.write_bytes(content)
    before = identity(fork)
    file.write_text(POINTER.replace("a" * 64, hashlib.sha256(content).hexdigest()))
    assert identity(fork) == before


KEPT = "outs:\n- md5: 667a4cd6722f8d7b4e5e120508122e0e\n  hash: md5\n  path: table.csv\n"
STAGES = f"schema: '2.0'\nstages:\n  rows:\n    cmd: x\n    {KEPT.replace(chr(10), chr(10) + '    ')}"
WITHOUT = {
    "Git LFS": (
        {"weights.bin": POINTER},
        "model/instant/weights.bin is kept by Git LFS, and only a pointer to it is here; git-lfs is not installed",
    ),
    "DVC": (
        {"table.csv.dvc": KEPT},
        "model/instant/table.csv is kept by DVC, and only a pointer to it is here; dvc is not installed",
    ),
    "DVC, and an older file": (
        {"table.csv.dvc": KEPT, "table.csv": "1.0\n"},
        "and what is here is not what model/instant/table.csv.dvc names; dvc is not installed",
    ),
    "DVC's pipeline": (
        {"dvc.yaml": "stages: {rows: {wdir: .., cmd: x}}\n", "dvc.lock": STAGES.replace("table", "instant/table")},
        "model/instant/table.csv is kept by DVC, and only a pointer to it is here; dvc is not installed",
    ),
    "DVC's pipeline, which no release would name": (
        {
            "../../dvc.yaml": "stages: {rows: {cmd: x}}\n",
            "../../dvc.lock": STAGES.replace("table", "model/instant/table"),
        },
        "model/instant/table.csv is an output of dvc.yaml, which lies outside model/",
    ),
}


@pytest.mark.parametrize("tool", WITHOUT)
def test_a_pointer_without_its_tool_is_told(fork: Fork, tmp_path: Path, tool: str) -> None:
    written, words = WITHOUT[tool]
    (fork.root / "model/instant").mkdir()
    for name, text in written.items():
        (fork.root / "model/instant" / name).write_text(text)
    (tmp_path / "git").symlink_to(
        str(shutil.which("git"))
    )  # and no other program: many a machine has Git LFS beside it
    for verb in ("fetch", "train"):
        result = run(fork, verb, PATH=str(tmp_path))
        assert result.code == 1 and words in result.err


def test_a_folder_that_dvc_keeps_is_there_if_it_is_as_dvc_noted(tmp_path: Path) -> None:
    """By what DVC 3.67 wrote of such a folder."""
    for name, text in {"a.txt": "a", "b.txt": "bé", "z/1": "1\n", "z-a/1": "2\n", "Ü": "3\n"}.items():
        (tmp_path / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "more" / name).write_text(text)
    pointer = tmp_path / "more.dvc"
    pointer.write_text("outs:\n- md5: 334b4e640a0f0e1b99b3d6f92160ff57.dir\n  hash: md5\n  path: more\n")
    assert pointers.dvc([pointer]) == {}
    (tmp_path / "more/z/1").write_text("4\n")
    assert pointers.dvc([pointer]) == {tmp_path / "more": pointer}
