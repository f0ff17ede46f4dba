"""An overlay's kustomization as people write it: any form that kustomize takes, with the images set and every other byte kept."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from scripts.ledger import kustomization
from scripts.workspace.errors import YourTurn
from tests.support.fork import ROOT

SOURCE = "kustomization.yaml"
NAME, DIGEST = "registry.example.com:5000/team/models", f"sha256:{'a' * 64}"
OLD = f"sha256:{'0' * 64}"
NOTHING = ["", " []", " ~", " null", " [\n]"]
HEAD = "namespace: serving-dev # where\nresources:\n  - ../../base\n"
comments = st.sampled_from(["", " # filled by promote", " # it's {a} [b]: - c"])
quotes = st.sampled_from(["", "'", '"'])


@st.composite
def fields(draw: st.DrawFn, name: str) -> list[tuple[str, str]]:
    """Of one entry, in any order; each with its value as it is written."""
    quote = draw(quotes)
    rest = [("name", f"{quote}{name}{quote}")]
    if draw(st.booleans()):
        value = draw(st.sampled_from(["old/name", "'old/name'", "", "~", '"old"']))
        rest.append((draw(st.sampled_from(["newName", '"newName"', "newname"])), value))
    if draw(st.booleans()):
        rest.append(("digest", f"{draw(quotes)}".join(["", OLD, ""])))
    elif draw(st.booleans()):
        rest.append(("newTag", draw(st.sampled_from(["v1", '"1.0"']))))
    return draw(st.permutations(rest))


@st.composite
def entry(draw: st.DrawFn, name: str, indent: str) -> str:
    """In block or in flow style, as an item of a block sequence."""
    pairs = draw(fields(name))
    if draw(st.booleans()):
        return f"{indent}- {{{', '.join(f'{k}: {v}' for k, v in pairs)}}}{draw(comments)}\n"
    lines = [f"{key}: {value}".rstrip() + f"{draw(comments)}\n" for key, value in pairs]
    space = draw(st.sampled_from([" ", "   "]))
    between = draw(st.sampled_from(["", f"{indent}# between\n", "\n"]))
    return f"{indent}-{space}" + f"{between}{indent} {space}".join(lines)


@st.composite
def images(draw: st.DrawFn) -> str:
    """The part of the document that is about images; empty where there is none."""
    form = draw(st.sampled_from(["none", "empty", "flow", "block", "block", "block"]))
    if form == "none":
        return ""
    if form == "empty":
        return f"images:{draw(st.sampled_from(NOTHING))}{draw(comments)}\n"
    if form == "flow":
        items = [f"{{{', '.join(f'{k}: {v}' for k, v in draw(fields(n)))}}}" for n in draw(names())]
        return f"images: [{draw(st.sampled_from(['', ' ']))}{', '.join(items)}]{draw(comments)}\n"
    indent = draw(st.sampled_from(["", "  ", "    "]))
    return f"images:{draw(comments)}\n" + "".join(draw(entry(n, indent)) for n in draw(names()))


def names() -> st.SearchStrategy[list[str]]:
    return st.sampled_from([["serving"], ["other"], ["other", "serving"], ["serving", "other"], ["models", "serving"]])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, str, str]:
    """What is before the images, they, and what is after."""
    after = draw(st.sampled_from(["", "# the end\n", "patches:\n  - path: replicas.yaml # how many\n", "\n\n"]))
    before = draw(st.sampled_from(["", "# what dev runs\n", "---\n"])) + HEAD
    end = draw(st.sampled_from(["\n", "\r\n"]))
    parts = [part.replace("\n", end) for part in (before, draw(images()), after)]
    parts[0] = draw(st.sampled_from(["", "\ufeff"])) + parts[0]
    if draw(st.booleans()) and not parts[2]:
        parts[1 if parts[1] else 0] = parts[1 if parts[1] else 0].removesuffix(end)
    return parts[0], parts[1], parts[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, with a Deployment, and `patches` as the documents have them."""
    folder = tmp_path_factory.mktemp("kustomization")
    for name, source in {
        "base/deployment.yaml": "base/deployment.yaml",
        "replicas.yaml": "overlays/dev/replicas.yaml",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "k8s" / source, folder / name)
    (folder / "base/kustomization.yaml").write_text("resources: [deployment.yaml]\n")
    return folder


def rendered(folder: Path, texts: list[str]) -> list[str]:
    """The image in each of these kustomizations, as kubectl renders them, all at once: it takes longer to start."""
    for number, text in enumerate(texts):
        for name, content in {"overlay": text, "named": f"resources: [../overlay]\nnameSuffix: '-{number}'\n"}.items():
            place = folder / str(number) / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "kustomization.yaml").write_bytes(content.encode())
        shutil.copy(folder / "replicas.yaml", folder / str(number) / "overlay")
    listed = "".join(f"  - {number}/named\n" for number in range(len(texts)))
    (folder / "kustomization.yaml").write_text(f"resources:\n{listed}")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, f"{texts}\n{done.stderr}"
    return re.findall(r"image: (.+)", done.stdout)


def keeps_all_but_its_images(before: str, block: str, after: str) -> str:
    """The document with the image set."""
    text = before + block + after
    written = kustomization.with_images(text, SOURCE, {"serving": (NAME, DIGEST)})
    assert kustomization.image(written, SOURCE) == f"{NAME}@{DIGEST}"
    assert kustomization.with_images(written, SOURCE, {"serving": (NAME, DIGEST)}) == written
    assert written.startswith(before)
    assert after in written[len(before) :]
    assert re.findall(r"#[^\r\n]*", written) == re.findall(r"#[^\r\n]*", text)  # the last line may have had no end
    if "\r\n" in text:
        assert "\n" not in written.replace("\r\n", "")
    return written


@settings(max_examples=100, deadline=None)
@given(documents())
@example(("resources:\n  - ../../base\n", "images:\n", "patches:\n  - path: replicas.yaml\n"))  # nothing under it
def test_any_document_keeps_all_but_its_images(parts: tuple[str, str, str]) -> None:
    keeps_all_but_its_images(*parts)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.lists(documents(), min_size=16, max_size=16))
def test_kubectl_renders_the_digest(folder: Path, found: list[tuple[str, str, str]]) -> None:
    written = [keeps_all_but_its_images(*parts) for parts in found]
    assert rendered(folder, written) == [f"{NAME}@{DIGEST}"] * len(written)


FORMS = {
    "JSON": (
        '{"namespace": "serving-dev", "resources": ["../../base"]}',
        '{"namespace": "serving-dev", "resources": ["../../base"], '
        '"images": [{"name": "serving", "newName": "N", "digest": "D"}]}',
    ),
    "JSON with an entry": (
        '{"images": [\n {"name": "serving", "newTag": "v1"}\n], "resources": ["../../base"]}',
        '{"images": [\n {"name": "serving", "newName": "N", "digest": "D"}\n], "resources": ["../../base"]}',
    ),
    "a merge key": (
        "images:\n  - &a {name: other, newName: o, digest: d}\n  - <<: *a\n    name: serving\n",
        "images:\n  - &a {name: other, newName: o, digest: d}\n  - <<: *a\n    name: serving\n    newName: N\n    digest: D\n",
    ),
    "an alias as its value": (
        "images:\n  - {name: other, digest: &d x}\n  - name: serving\n    digest: *d # the same\n    newName: o\n",
        "images:\n  - {name: other, digest: &d x}\n  - name: serving\n    digest: D # the same\n    newName: N\n",
    ),
    "a folded value": (
        "images:\n  - name: serving\n    newName: >-\n      o\n    digest: d\n",
        "images:\n  - name: serving\n    newName: N\n    digest: D\n",
    ),
    "an empty value": (
        "images:\n  - name: serving\n    newName:\n    digest: d\n",
        "images:\n  - name: serving\n    newName: N\n    digest: D\n",
    ),
    "upper case": (
        "Images:\n  - Name: serving\n    Digest: d\n",
        "Images:\n  - Name: serving\n    newName: N\n    Digest: D\n",
    ),
    "an end of the document": (
        "resources: [a]\n...\n",
        "resources: [a]\nimages:\n  - name: serving\n    newName: N\n    digest: D\n...\n",
    ),
    "all of it indented": (
        "  resources: [a]\n",
        "  resources: [a]\n  images:\n    - name: serving\n      newName: N\n      digest: D\n",
    ),
    "a comment on the dash": (
        "images:\n  - # a - b\n    name: other\n",
        "images:\n  - name: serving\n    newName: N\n    digest: D\n  - # a - b\n    name: other\n",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_yaml(form: str) -> None:
    before, after = FORMS[form]
    for short, long in ((r"\bN\b", NAME), (r"\bD\b", DIGEST)):
        after = re.sub(short, long, after)
    assert kustomization.with_images(before, SOURCE, {"serving": (NAME, DIGEST)}) == after.replace(f"{NAME}ame", "Name")


REFUSED = {
    "a map": ("images:\n  serving: {digest: d}\n", "`images` in kustomization.yaml is no list of entries"),
    "twice": (
        "images: [{name: serving, digest: d}, {name: serving, newTag: v1}]\n",
        "kustomization.yaml names the image 'serving' 2 times",
    ),
    "an entry that another one takes its fields from": (
        "images:\n  - &a {name: serving, digest: d}\n  - {<<: *a, name: other}\n",
        "kustomization.yaml has a form in which its image cannot be set without changing anything else",
    ),
    "two documents": ("namespace: a\n---\nresources: [b]\n", "kustomization.yaml is not valid YAML: "),
    "a list": ("- a\n", "kustomization.yaml is no mapping"),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_refuses(defect: str) -> None:
    text, message = REFUSED[defect]
    with pytest.raises(YourTurn) as refusal:
        kustomization.with_images(text, SOURCE, {"serving": (NAME, DIGEST)})
    assert refusal.value.problem.startswith(message)


def test_other_encodings_are_told() -> None:
    with pytest.raises(YourTurn) as refusal:
        kustomization.decoded("é".encode("latin-1"), SOURCE)
    assert refusal.value.problem == "kustomization.yaml is not in UTF-8: unexpected end of data at byte 0"
