"""The manifests of an environment at a revision of this repository, and the differences between two renderings."""

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.ledger import architectures, handovers, kubectl, kustomization, objectives
from scripts.release.releases import Release
from scripts.workspace import files, git
from scripts.workspace.errors import YourTurn

Manifest = dict[str, Any]
# Fields that the API server sets: never a difference.
BOOKKEEPING = {"managedFields", "generation", "resourceVersion", "uid", "creationTimestamp", "selfLink"}


def render(
    environment: str, revision: str, release: Release | None, elsewhere: str = "", component: str = ""
) -> list[Manifest]:
    """The manifests of `environment` at `revision`, with `release` in place of its own. Raises YourTurn if they do not render.

    `elsewhere` replaces the environment's namespace; `component` adds one of k8s/components.
    """
    from ruamel.yaml import YAML

    folder = f"k8s/overlays/{environment}"
    with tempfile.TemporaryDirectory() as checkout:
        # Line ends and modes are those of the commit, whatever the user's git settings.
        archive = git.git(
            "archive", "--format=tar", revision, "k8s", settings=["core.autocrlf=false", "tar.umask=0022"]
        )
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(checkout, filter="data")
        name = kustomization.find(folder, revision)
        if not name:
            raise YourTurn(f"{revision} has no {folder}/{kustomization.FILES[0]}", "git add it and commit")
        file = Path(checkout, folder, name)
        if release:
            text = kustomization.decoded(file.read_bytes(), f"{folder}/{name}")
            file.write_bytes(kustomization.with_images(text, f"{folder}/{name}", release.images).encode())
            if (patch := file.with_name(architectures.FILE)).exists():
                patch.write_bytes(architectures.patch(release.architectures))
        if component:
            file.write_text(kustomization.with_component(file.read_text(), f"{folder}/{name}", component))
        if elsewhere:
            file = Path(checkout, "k8s/overlays/elsewhere/kustomization.yaml")
            files.write(file, json.dumps({"namespace": elsewhere, "resources": [f"../{environment}"]}))
        text = kubectl.render(str(file.parent), folder)
    manifests = [m for m in YAML(typ="safe", pure=True).load_all(text) if m]
    _check(manifests, folder, release)
    return manifests


def _check(manifests: list[Manifest], folder: str, release: Release | None) -> None:
    """Raises YourTurn for manifests that render and would still not work."""
    edit = f"edit {folder} and commit; kubectl kustomize {folder} shows what it renders"
    _check_namespaces(manifests, folder)
    deployment = workload(manifests)
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    if release and image != "@".join(release.image):
        raise YourTurn(f"{folder}: a patch sets the image to {image}, in the place of the release's", edit)
    _check_volume(deployment, folder, release)
    objectives.check(manifests, folder)
    handovers.check(manifests, folder)
    if "replicas" in deployment["spec"] and any(m["kind"] == "HorizontalPodAutoscaler" for m in manifests):
        raise YourTurn(
            f"{folder} sets the replicas, and so would the autoscaler",
            f"take `- path: replicas.yaml` out of `patches` in {folder}/kustomization.yaml, and commit",
        )


def _check_namespaces(manifests: list[Manifest], folder: str) -> None:
    """Every object belongs in the Deployment's namespace; objects of the whole cluster are an administrator's."""
    wanted = workload(manifests)["metadata"].get("namespace")
    if not wanted:
        raise YourTurn(f"{folder} says no namespace", f"namespace: in {folder}/{kustomization.FILES[0]}, and commit")
    for manifest in manifests:
        there = manifest["metadata"].get("namespace")
        if there != wanted:
            where = f"in the namespace {there}" if there else "of the whole cluster"
            problem = f"{folder} holds {title(manifest)}, which is {where}, beside what is in {wanted}"
            raise YourTurn(
                problem, f"take it out of {folder}, and commit; k8s/admission is for what an administrator applies"
            )


def _check_volume(deployment: Manifest, folder: str, release: Release | None) -> None:
    """The models are either in the server's image or in a volume: with both, or neither, no pod would start."""
    if not release:
        return
    volumes = deployment["spec"]["template"]["spec"].get("volumes", [])
    found = [volume["image"]["reference"] for volume in volumes if "image" in volume and volume["name"] == "models"]
    wanted = ["@".join(release.images["models"])] if "models" in release.images else []
    if wanted and not found:
        problem = f"release {release.name} has its models in a volume, which {folder} does not mount"
        raise YourTurn(
            problem, f"add ../../components/model-volume to `components` in {folder}/kustomization.yaml, and commit"
        )
    if found != wanted:
        place = wanted[0] if wanted else "in its image"
        problem = f"{folder} mounts the models from {found[0]}, and release {release.name} has them {place}"
        raise YourTurn(problem, f"edit `components` in {folder}/kustomization.yaml, and commit")


def namespace(manifests: list[Manifest]) -> str:
    return workload(manifests)["metadata"]["namespace"]


def workload(manifests: list[Manifest]) -> Manifest:
    """The Deployment that serves."""
    found = [m for m in manifests if m["kind"] == "Deployment" and m["metadata"]["name"] == kustomization.NAME]
    if not found:
        raise YourTurn(
            f"no Deployment {kustomization.NAME} is rendered",
            "git log -p k8s shows who took it away; put it back, and commit",
        )
    return found[0]


def title(manifest: Manifest) -> str:
    """KIND/NAME, as kubectl writes it."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """A line for each value that differs, with its path; items of a list are matched by name if they have one."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in BOOKKEEPING and not (path == "" and key == "status"):
                yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif _is_named(old) and _is_named(new):
        ours, theirs = ({item["name"]: item for item in items} for items in (old, new))
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            yield from differences(ours.get(name), theirs.get(name), f"{path}[{name}]")
    elif old != new:
        yield f"{path}: {_short(old)} → {_short(new)}"


def between(old: list[Manifest], new: list[Manifest]) -> list[str]:
    """A line for each difference of two renderings."""
    ours, theirs = ({title(m): m for m in manifests} for manifests in (old, new))
    lines = []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name not in theirs or name not in ours:
            lines.append(f"{name}: {'is removed' if name in ours else 'is added'}")
        else:
            lines += changes(ours[name], theirs[name])
    return lines


def changes(old: Manifest, new: Manifest) -> list[str]:
    """A line for each value that differs, with its object. The contents of a Secret are not shown."""
    lines = list(differences(old, new))
    return (
        [f"{title(new)} differs"] if lines and new["kind"] == "Secret" else [f"{title(new)} {line}" for line in lines]
    )


def _is_named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
