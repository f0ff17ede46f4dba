"""The table in docs/security.md of what each identity can do: made by trying all of it, and compared.

`WRITE_SAMPLES=1 ./pipeline test tests/cluster/test_rights.py` writes it.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork import ROOT
from tests.test_overlays import APART, COMPONENTS, combine, load, rendered

from .conftest import Cluster
from .environment import deployer
from .rights import METHODS, Document, Refusals, Resource, Server
from .test_preview import previews
from .test_refusals import DEFINED, define

__all__ = ["previews"]

PAGE, BEGIN, END = ROOT / "docs/security.md", "<!-- tried by tests/cluster/test_rights.py -->\n\n", "\n<!-- end -->\n"
OWN, ELSEWHERE = f"preview-{40_000 + os.getpid()}", f"elsewhere-{os.getpid()}"
DEPLOYER, PREVIEWER = f"system:serviceaccount:{OWN}:deployer", "system:serviceaccount:previews:previewer"
COLUMNS = {
    "deployer, in its namespace": (DEPLOYER, OWN),
    "deployer, elsewhere": (DEPLOYER, ELSEWHERE),
    "previewer, in `preview-NUMBER`": (PREVIEWER, OWN),
    "previewer, elsewhere": (PREVIEWER, ELSEWHERE),
    "trainer, in its namespace": (f"system:serviceaccount:{OWN}:trainer", OWN),
    "a pod that serves": (f"system:serviceaccount:{OWN}:serving", OWN),
    "anybody else": ("somebody", OWN),
}
LABELS = {"serving": "true", "pod-security.kubernetes.io/enforce": "restricted"}


def examples(folder: Path) -> dict[str, Document]:
    """A whole object of each kind that k8s/ or the pipeline itself brings."""
    together = [[c for c in COMPONENTS if c not in some] for some in ({"flagger"}, APART)]
    overlays = [combine(folder, [*components, "ingress/envoy-gateway"]) for components in together]
    found = {manifest["kind"]: manifest for overlay in overlays for manifest in rendered(overlay)}
    found["Deployment"]["spec"]["replicas"] = 0
    return found | {"Namespace": {"metadata": {"labels": LABELS}}, "ConfigMap": {}, "Lease": {}}


def named_in_roles(known: list[Resource]) -> Iterator[Resource]:
    """What a role of k8s/ speaks of, in API groups that this cluster has not: it is the role that decides."""
    roles = [
        d for file in ("admission/deployer", "previews/previewer", "training/trainer") for d in load(f"k8s/{file}.yaml")
    ]
    for rule in (rule for role in roles for rule in role.get("rules", [])):
        for group in set(rule["apiGroups"]) - {resource.group for resource in known}:
            yield from (Resource(group, "v1", name, "", True, tuple(METHODS)) for name in rule["resources"])


@pytest.fixture
def server(cluster: Cluster, previews: None, tmp_path: Path) -> Iterator[Server]:
    """With two namespaces, and an example of each kind in both."""
    define(cluster, *DEFINED)
    server = Server(cluster.kubeconfig, examples(tmp_path))
    for namespace in (OWN, ELSEWHERE):
        deployer(cluster, namespace, tmp_path / namespace)
        items = [server.example(r, "serving") for r in server.resources() if r.kind in server.examples and r.namespaced]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=document)
    cluster.kubectl("apply", "-k", str(ROOT / "k8s/training"))
    binding = ("rolebinding", "trainer", "--clusterrole=serving-trainer", f"--serviceaccount={OWN}:trainer")
    cluster.kubectl("create", *binding, f"--namespace={OWN}")
    yield server
    cluster.kubectl("delete", "namespace", OWN, ELSEWHERE, "--wait=false")


def test_the_table_is_what_each_may_do(server: Server) -> None:
    known = list(server.resources())
    resources = [*known, *named_in_roles(known)]
    found = {column: server.refusals(who, place, resources) for column, (who, place) in COLUMNS.items()}
    text, table = PAGE.read_text(), written(found)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end
    if os.environ.get("WRITE_SAMPLES"):
        PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}")
    assert PAGE.read_text() == f"{before}{BEGIN}{table}{END}{after}"


def written(found: dict[str, Refusals]) -> str:
    """A row for the resources with the same rights; with the API group, where another one has a resource of that name."""
    resources = list(next(iter(found.values())))
    names = Counter(resource.name for resource in resources)
    rows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for resource in resources:
        name = f"{resource.name}.{resource.group}" if resource.group and names[resource.name] > 1 else resource.name
        rows[tuple(cell(refusals[resource]) for refusals in found.values())].append(f"`{name}`")
    rows.pop(("–",) * len(found))
    lines = [["what", *found], ["---"] * (1 + len(found))]
    lines += sorted([", ".join(sorted(names)), *cells] for cells, names in rows.items())
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(refused: dict[str, str]) -> str:
    may = [verb for verb in METHODS if refused.get(verb) == ""]
    held = [verb for verb in METHODS if refused.get(verb) not in ("", "RBAC", None)]
    return ", ".join(may + [f"({verb})" for verb in held]) or "–"
