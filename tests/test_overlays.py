"""The manifests: overlays of one shape, components that render in every combination, and a Role that is enough for them."""

import http.server
import itertools
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from ruamel.yaml import YAML

from scripts.ledger import handovers
from scripts.ledger import kubectl as rendering
from scripts.workspace.errors import YourTurn
from tests.conftest import requires
from tests.support import crds
from tests.support.fork import ROOT, Fork

ENVOY_GATEWAY = "github.com/envoyproxy/gateway@v1.9.1"
OVERLAYS = sorted(path.parent.name for path in (ROOT / "k8s/overlays").glob("*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in (ROOT / "k8s/components").glob("*/kustomization.yaml"))
COMPONENTS.append(COMPONENTS.pop(COMPONENTS.index("flagger")))  # it goes by what the others have brought
APART = {"autoscaling", "rollouts"}  # from flagger, which brings the one, and does what the other does
COMBINATIONS = [
    list(c)
    for size in range(len(COMPONENTS) + 1)
    for c in itertools.combinations(COMPONENTS, size)
    if "flagger" not in c or not APART & set(c)
]


def load(path: str) -> list[dict[str, Any]]:
    return [document for document in YAML(typ="safe").load_all((ROOT / path).read_text()) if document]


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Fails on a warning too."""
    return [document for document in YAML(typ="safe").load_all(rendering.render(str(folder), str(folder))) if document]


def combine(folder: Path, components: list[str], namespace: str = "serving-dev") -> Path:
    """An overlay of the base with `components`, in a copy of k8s/ below `folder`."""
    if not (folder / "k8s").exists():
        shutil.copytree(ROOT / "k8s", folder / "k8s")
    overlay = folder / "k8s/overlays" / "-".join(["with", *(name.replace("/", "-") for name in components)])
    overlay.mkdir()
    images = "".join(
        f"  - {{name: {n}, newName: localhost/{n}, digest: 'sha256:{'0' * 64}'}}\n" for n in ("serving", "models")
    )
    listed = "".join(f"  - ../../components/{name}\n" for name in components)
    (overlay / "kustomization.yaml").write_text(
        f"namespace: {namespace}\nresources:\n  - ../../base\nimages:\n{images}"
        + (f"components:\n{listed}" if listed else "")
    )
    return overlay


def combined(folder: Path, namespace: str = "serving-dev") -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Every combination of components with what it renders to, without a warning.

    Sixteen by one kubectl, each in a namespace of its own there: its start costs more than they do.
    """
    found = []
    for number in range(0, len(COMBINATIONS), 16):
        some = COMBINATIONS[number : number + 16]
        overlays = [combine(folder, components, f"{namespace}-{place}") for place, components in enumerate(some)]
        together = folder / f"k8s/overlays/together-{number}"
        together.mkdir()
        (together / "kustomization.yaml").write_text(json.dumps({"resources": [f"../{o.name}" for o in overlays]}))
        documents = rendered(together)
        for place, components in enumerate(some):
            theirs = [json.dumps(d) for d in documents if d["metadata"]["namespace"] == f"{namespace}-{place}"]
            found.append(
                (components, [json.loads(d.replace(f'"{namespace}-{place}"', f'"{namespace}"')) for d in theirs])
            )
    return found


@pytest.fixture(scope="module", autouse=True)
def kubectl() -> None:
    if not shutil.which("kubectl"):
        requires("cluster", "kubectl is not installed")


def test_every_overlay_has_the_same_files() -> None:
    files = {
        name: {p.name for p in (ROOT / "k8s/overlays" / name).iterdir()} - {"release.json", "ledger.json"}
        for name in OVERLAYS
    }
    assert len(OVERLAYS) >= 3
    assert len(set(map(frozenset, files.values()))) == 1


def test_every_component_is_explained() -> None:
    assert [c for c in COMPONENTS if not (ROOT / f"k8s/components/{c}/README.md").exists()] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_renders_without_a_warning(name: str) -> None:
    manifests = rendered(ROOT / "k8s/overlays" / name)
    assert {m["metadata"]["namespace"] for m in manifests} == {f"serving-{name}"}


def test_every_combination_of_components_renders_without_a_warning(combinations: list) -> None:
    for components, manifests in combinations:
        kinds = {m["kind"] for m in manifests}
        assert ("HorizontalPodAutoscaler" in kinds) == bool({"autoscaling", "flagger"} & set(components))
        handovers.check(manifests, "the overlay")
    assert len(combinations) == 5 * 2 ** (len(COMPONENTS) - 3)


def test_flagger_comes_last_or_says_so(tmp_path: Path) -> None:
    """Before the others it cannot change by what they find pods."""
    overlay = combine(tmp_path, ["flagger", "network-policy"])
    with pytest.raises(YourTurn, match="NetworkPolicy/serving does not find the pods of Flagger's copy"):
        handovers.check(rendered(overlay), "the overlay")


def test_envoy_gateway_knows_every_field_of_the_limits(tmp_path: Path) -> None:
    """Its resource definitions are those of its Go module; that it does what they say was not seen."""
    folder = "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io"
    kinds = {"BackendTrafficPolicy": "backendtrafficpolicies", "EnvoyExtensionPolicy": "envoyextensionpolicies"}
    valid = crds.validators(ENVOY_GATEWAY, *(f"{folder}_{plural}.yaml" for plural in kinds.values()))
    overlay = combine(tmp_path, ["ingress", "ingress/envoy-gateway"])
    policies = {m["kind"]: m for m in rendered(overlay) if m["kind"] in kinds}
    assert policies.keys() == kinds.keys()
    for kind, policy in policies.items():
        valid[kind](policy)
        assert policy["spec"]["targetRefs"] == [
            {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "serving"}
        ]
    policies["BackendTrafficPolicy"]["spec"]["requestBuffer"]["limit"] = "4 MB"
    with pytest.raises(fastjsonschema.JsonSchemaException, match="limit"):
        valid["BackendTrafficPolicy"](policies["BackendTrafficPolicy"])


def test_the_deployment_keeps_what_a_safe_rollout_needs() -> None:
    (deployment,) = load("k8s/base/deployment.yaml")
    spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert pod["shareProcessNamespace"]  # or SIGTERM ends nothing
    (seconds,) = re.findall(r"^sleep (\d+) ", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + 30
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] < spec["progressDeadlineSeconds"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_administrator_prepares_a_namespace_and_a_deployer_for_every_overlay() -> None:
    prepared = rendered(ROOT / "k8s/admission")
    for name in OVERLAYS:
        (namespace,) = (m for m in prepared if m["kind"] == "Namespace" and m["metadata"]["name"] == f"serving-{name}")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        here = [m["kind"] for m in prepared if m["metadata"].get("namespace") == f"serving-{name}"]
        assert sorted(here) == ["RoleBinding", "ServiceAccount"]


def test_the_deployer_may_neither_read_secrets_nor_touch_rbac_nor_anything_of_the_clusters() -> None:
    (role,) = load("k8s/admission/deployer.yaml")
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert not resources & {"secrets", "roles", "rolebindings", "namespaces", "nodes", "pods/exec", "*"}
    assert not {"*"} & {verb for rule in role["rules"] for verb in rule["verbs"]}


DEV = "k8s/overlays/dev"
EXPIRED = ROOT / "tests/expired.pem"  # a self-signed certificate of 127.0.0.1 that ended in 2020, and its key
BAD = {
    "a-tag": (
        lambda fork: fork.edit(
            f"{DEV}/kustomization.yaml", "patches:", "images: [{name: serving, newTag: v1}]\npatches:"
        ),
        "k8s/overlays/dev/kustomization.yaml names the image by a tag, which can mean another image tomorrow",
    ),
    "a-broken-patch": (
        lambda fork: fork.edit(f"{DEV}/replicas.yaml", "spec:", "spec"),
        "the overlay does not render: trouble configuring builtin PatchTransformer",
    ),
    "a-patch-of-nothing": (
        lambda fork: fork.edit(f"{DEV}/replicas.yaml", "name: serving", "name: servng"),
        'the overlay does not render: no resource matches strategic merge patch "Deployment.v1.apps/servng.[noNs]"',
    ),
    "yaml-that-is-none": (
        lambda fork: fork.edit(f"{DEV}/kustomization.yaml", "patches:", "patches: ]"),
        "k8s/overlays/dev/kustomization.yaml is not valid YAML: ",
    ),
    "replicas-and-an-autoscaler": (
        lambda fork: fork.edit(
            f"{DEV}/kustomization.yaml", "components: []", "components: [../../components/autoscaling]"
        ),
        "k8s/overlays/dev sets the replicas, and so would the autoscaler",
    ),
    "a-share-that-no-number-of-pods-gives": (
        lambda fork: fork.edit("pyproject.toml", 'by = "commit"', 'by = "commit", canary = { steps = [5, 25] }'),
        "no whole number of pods beside the 1 of dev takes 5 % of the requests; possible are: 50 (1 of 2)",
    ),
    "no-namespace": (
        lambda fork: fork.edit(f"{DEV}/kustomization.yaml", "namespace: serving-dev\n", ""),
        "k8s/overlays/dev says no namespace",
    ),
    "an-object-of-the-whole-cluster": (
        lambda fork: (
            fork.edit(f"{DEV}/kustomization.yaml", "  - ../../base", "  - ../../base\n  - namespace.yaml"),
            (fork.root / DEV / "namespace.yaml").write_text(
                "{apiVersion: v1, kind: Namespace, metadata: {name: serving-dev}}"
            ),
        ),
        "k8s/overlays/dev holds Namespace/serving-dev, which is of the whole cluster, beside what is in serving-dev",
    ),
    "a-deprecated-field": (
        lambda fork: fork.edit(f"{DEV}/kustomization.yaml", "patches:", "commonLabels: {team: a}\npatches:"),
        "the overlay does not render: # Warning: 'commonLabels' is deprecated. Please use 'labels' instead.",
    ),
    "another-digest-than-release-json": (
        lambda fork: fork.edit(f"{DEV}/release.json", "sha256:1111", "sha256:2222"),
        f"k8s/overlays/dev/kustomization.yaml says registry.example.com/models@sha256:{'1' * 64}, and release.json beside it ",
    ),
    "a-release-json-that-is-none": (
        lambda fork: fork.edit(f"{DEV}/release.json", "{", "", missing_ok=True),
        "k8s/overlays/dev/release.json is corrupt or missing: ",
    ),
}


@pytest.mark.parametrize("defect", BAD)
def test_an_overlay_with_a_defect_is_refused_before_any_cluster_is_asked(tmp_path: Path, defect: str) -> None:
    from tests.test_promote import push, release

    fork, (spoil, expected) = Fork(tmp_path / "fork"), BAD[defect]
    fork.edit("pyproject.toml", 'dev = { context = ""', 'dev = { context = "nowhere"')
    fork.commit("a cluster that is not there")
    if defect != "a-tag":
        push(fork, release(1))
        fork.ok("promote", "dev")
    spoil(fork)
    fork.commit(defect)
    result = fork.run("deploy", "dev")
    assert (result.code, result.err.startswith(f"error: {expected}")) == (1, True), result.err


def test_a_notice_of_kubectl_s_is_no_warning_of_kustomize_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(f'#!/bin/sh\necho "Warning: version skew" >&2\nexec {shutil.which("kubectl")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "kind: Deployment" in rendering.render(str(ROOT / DEV), DEV)


def test_a_context_that_no_kubeconfig_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.test_promote import push, release

    fork = Fork(tmp_path / "fork")
    assert (
        "no cluster is configured for dev: set context of dev in [tool.pipeline.environments]"
        in fork.ok("deploy", "dev").err
    )
    fork.edit("pyproject.toml", 'dev = { context = ""', 'dev = { context = "nowhere"')
    fork.commit("a cluster that is not there")
    push(fork, release(1))
    fork.ok("promote", "dev")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    error = fork.run("deploy", "dev").err
    assert "error: no usable kubeconfig for dev: " in error
    assert f"(KUBECONFIG={tmp_path / 'gone'})" in error


def test_kube_score_finds_nothing_that_is_not_explained() -> None:
    if not shutil.which("kube-score"):
        requires("tools", "kube-score is not installed: go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0")
    for name in OVERLAYS:
        text = rendering.render(str(ROOT / "k8s/overlays" / name), name)
        text = text.replace("image: serving\n", f"image: serving@sha256:{'0' * 64}\n")  # as promoted
        done = subprocess.run(["kube-score", "score", "-"], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    error = deploy_to(tmp_path, "https://127.0.0.1:1")
    assert (
        "\nerror: the cluster of dev at https://127.0.0.1:1 does not answer: Connection refused\n  next: kubectl "
        in error
    )


def test_a_cluster_whose_certificate_has_expired(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(EXPIRED)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        error = deploy_to(tmp_path, f"https://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "does not answer: certificate verify failed: certificate has expired" in error


def deploy_to(folder: Path, server: str) -> str:
    """What `deploy dev` says of an API server at that address, with EXPIRED as its authority."""
    from tests.test_promote import push, release

    fork = Fork(folder / "fork")
    push(fork, release(1))
    fork.ok("promote", "dev")
    cluster = {"server": server, "certificate-authority": str(EXPIRED)}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    variables = os.environ | {"KUBECONFIG": str(folder / "kubeconfig")}
    command = [sys.executable, "-m", "scripts", "deploy", "dev"]
    return subprocess.run(command, cwd=fork.root, env=variables, capture_output=True, text=True).stderr
