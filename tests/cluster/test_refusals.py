"""What the cluster refuses before anything is changed: each in words, with what to do, and nothing is returned or corrected."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork import ROOT
from tests.test_overlays import EXPIRED, OVERLAYS, rendered

from .conftest import Cluster
from .environment import Environment

Release = dict[str, Any]
DEFINED = [  # kinds that components need and no bare cluster has, with any fields
    ("podmonitors", "PodMonitor", "monitoring.coreos.com", "v1"),
    ("prometheusrules", "PrometheusRule", "monitoring.coreos.com", "v1"),
    ("httproutes", "HTTPRoute", "gateway.networking.k8s.io", "v1"),
    ("grpcroutes", "GRPCRoute", "gateway.networking.k8s.io", "v1"),
    ("backendtrafficpolicies", "BackendTrafficPolicy", "gateway.envoyproxy.io", "v1alpha1"),
    ("envoyextensionpolicies", "EnvoyExtensionPolicy", "gateway.envoyproxy.io", "v1alpha1"),
    ("rollouts", "Rollout", "argoproj.io", "v1alpha1"),
    ("analysistemplates", "AnalysisTemplate", "argoproj.io", "v1alpha1"),
    ("canaries", "Canary", "flagger.app", "v1beta1"),
    ("metrictemplates", "MetricTemplate", "flagger.app", "v1beta1"),
]


@pytest.fixture
def promoted(dev: Environment, releases: dict[str, Release]) -> Environment:
    dev.promote(releases["one"])
    return dev


def with_token(dev: Environment, token: str) -> None:
    config = json.loads(dev.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    dev.kubeconfig.write_text(json.dumps(config))


def test_a_verb_that_the_role_does_not_allow(promoted: Environment):
    head = promoted.fork.git("rev-parse", "HEAD")
    promoted.kubectl("delete", "rolebinding", "deployer")
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update", "delete"],
    }
    maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "less"},
        "rules": [rule, maps],
    }
    promoted.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    promoted.kubectl("create", "rolebinding", "less", "--role=less", f"--serviceaccount={promoted.namespace}:deployer")
    error = promoted.refused("deploy", "dev")
    assert 'cannot get resource "deployments"' in error
    assert "the missing rule is {apiGroups: [apps], resources: [deployments], verbs: [get]}" in error
    assert promoted.fork.git("rev-parse", "HEAD") == head


def test_a_namespace_that_is_missing(promoted: Environment, cluster: Cluster, tmp_path: Path):
    promoted.fork.edit("k8s/overlays/dev/kustomization.yaml", promoted.namespace, "nowhere")
    promoted.fork.commit("nowhere")
    promoted.kubeconfig = cluster.kubeconfig
    error = promoted.refused("deploy", "dev")
    assert (
        error
        == "the cluster of dev has no namespace nowhere\n  next: an administrator: kubectl apply -k k8s/admission\n"
    )


def test_a_token_that_has_expired(promoted: Environment):
    part = base64.urlsafe_b64encode(json.dumps({"exp": int(time.time()) - 3600}).encode()).decode().rstrip("=")
    with_token(promoted, f"x.{part}.x")
    assert "does not accept these credentials: the token expired on " in promoted.refused("deploy", "dev")


def test_credentials_that_have_ended_are_fetched_again(promoted: Environment, tmp_path: Path):
    """By the plugin that the kubeconfig names, as the clouds have one: its first token is of no use any more."""
    config = json.loads(promoted.kubeconfig.read_text())
    right, plugin = config["users"][0]["user"]["token"], tmp_path / "plugin"
    answer = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}'
    asked = f"printf '{answer}' $(cat {tmp_path}/asked 2>/dev/null || echo ended); echo {right} >{tmp_path}/asked"
    plugin.write_text(f"#!/bin/sh\n{asked}\n")
    plugin.chmod(0o755)
    api = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": api | {"command": str(plugin)}}
    promoted.kubeconfig.write_text(json.dumps(config))
    assert "it runs nothing, and should run " in promoted.run("status", "dev").out


def test_a_client_certificate_that_has_expired(promoted: Environment):
    config = json.loads(promoted.kubeconfig.read_text())
    config["users"][0]["user"] = {"client-certificate": str(EXPIRED), "client-key": str(EXPIRED)}
    promoted.kubeconfig.write_text(json.dumps(config))
    error = promoted.refused("deploy", "dev")
    assert "does not accept these credentials: the certificate expired on 2020-" in error


def test_every_overlay_and_combination_is_accepted_by_the_api_server(
    cluster: Cluster, admission: None, combinations: list
):
    """Server-side dry run of each object once, however many combinations render it."""
    define(cluster, *DEFINED)
    every = [manifests for _, manifests in combinations]
    every += [rendered(ROOT / "k8s/overlays" / name) for name in OVERLAYS]
    distinct = {json.dumps(manifest, sort_keys=True) for manifests in every for manifest in manifests}
    text = f'{{"apiVersion": "v1", "kind": "List", "items": [{", ".join(sorted(distinct))}]}}'
    text = text.replace('"image": "serving"', f'"image": "serving@sha256:{"0" * 64}"')  # as promoted
    out = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=text)
    assert out.count("serverside-applied") == len(distinct)


def define(cluster: Cluster, *definitions: tuple[str, str, str, str]) -> None:
    """Definitions that take any field, in place of those that this cluster lacks."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    annotations = {"api-approved.kubernetes.io": "unapproved, for a test"}
    items = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
            "spec": {
                "group": group,
                "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
                "scope": "Namespaced",
                "versions": [{"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
            },
        }
        for plural, kind, group, name in definitions
    ]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "--filename=-", stdin=document)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename=-", stdin=document)


def test_an_environment_of_another_clone_is_known_by_what_the_cluster_remembers(
    promoted: Environment, releases: dict[str, Release]
):
    """A fresh checkout, as each workflow run has one, rolls back as well."""
    promoted.patch("replicas", replicas=1)
    promoted.ok("deploy", "dev")
    promoted.deploy(releases["two"])
    clone = promoted.fork.root.parent / "clone"
    promoted.fork.git("clone", "-q", ".", str(clone))
    (clone / ".venv").symlink_to((promoted.fork.root / ".venv").resolve())
    promoted.fork.root = clone
    promoted.ok("rollback", "dev", "--reason", "from elsewhere")
    promoted.serves(releases["one"])


def test_a_container_brought_into_a_pod_later_is_held_to_its_digest_too(dev: Environment):
    """`kubectl debug` adds it past the pod's own creation; the pod need not run for that."""
    digest = f"localhost/c@sha256:{'0' * 64}"
    locked = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]},
    }
    spec = {"containers": [{"name": "c", "image": digest, "securityContext": locked}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "debugged"}, "spec": spec}
    dev.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    debug = ("debug", "debugged", "--attach=false", "--profile=restricted")
    refused = "only images by digest are admitted here, and this is none: busybox:latest"
    with pytest.raises(AssertionError, match=refused):
        dev.kubectl(*debug, "--container=one", "--image=busybox:latest")
    dev.kubectl(*debug, "--container=two", f"--image={digest}")
    (added,) = dev.get("pod/debugged")["spec"]["ephemeralContainers"]
    assert added["image"] == digest
