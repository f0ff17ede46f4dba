"""Images from a mirror: an admission webhook of the cluster's puts its name before the same digest."""

import base64
import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from scripts.release.registry import KINDS

from .environment import Environment, label

HOST = "host.docker.internal"  # this computer, seen from the node


@contextmanager
def rewriting(dev: Environment, folder: Path, old: str, new: str) -> Iterator[None]:
    """A webhook that makes `old` at the head of an image's name `new`, in each pod of the namespace that is created meanwhile."""

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            image = request["object"]["spec"]["containers"][0]["image"]
            change = [{"op": "replace", "path": "/spec/containers/0/image", "value": image.replace(old, new, 1)}]
            patch = base64.b64encode(json.dumps(change).encode()).decode()
            answer = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(review).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("", 0), Webhook) as server:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate(folder))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dev.kubectl("apply", "-f", "-", stdin=json.dumps(configuration(dev, folder, server.server_port)))
        try:
            yield
        finally:
            dev.kubectl("delete", f"mutatingwebhookconfiguration/{dev.namespace}")
            server.shutdown()


def certificate(folder: Path) -> tuple[Path, Path]:
    files = folder / "webhook.crt", folder / "webhook.key"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", files[1]]
    names = ["-subj", "/CN=webhook", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "1", "-out", files[0]]
    subprocess.run(["openssl", "req", "-x509", *key, *names], check=True, capture_output=True)
    return files


def configuration(dev: Environment, folder: Path, port: int) -> dict[str, Any]:
    authority = base64.b64encode((folder / "webhook.crt").read_bytes()).decode()
    webhook = {
        "name": "mirror.test.example",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": f"https://{HOST}:{port}/", "caBundle": authority},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": dev.namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return kind | {"metadata": {"name": dev.namespace}, "webhooks": [webhook]}


def copy(registry: str, digest: str, source: str, target: str) -> None:
    """The image with that digest, from one repository of the registry to another."""
    base, accept = f"http://{registry}/v2", {"Accept": KINDS}
    manifest = requests.get(f"{base}/{source}/manifests/{digest}", headers=accept)
    for blob in [manifest.json()["config"], *manifest.json()["layers"]]:
        mount = {"mount": blob["digest"], "from": source}
        requests.post(f"{base}/{target}/blobs/uploads/", params=mount).raise_for_status()
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    requests.put(f"{base}/{target}/manifests/{digest}", data=manifest.content, headers=headers).raise_for_status()


def test_an_image_by_a_mirror_is_the_same_and_a_mirror_that_is_named_has_what_the_registry_lost(
    dev: Environment, releases: dict[str, Any], tmp_path: Path
) -> None:
    registry, gone = dev.cluster.registry, "gone"
    one, two = (r | {"image": r["image"] | {"name": f"{registry}/{gone}"}} for r in (releases["one"], releases["two"]))
    for release in (one, two):
        source = releases["one"]["image"]["name"].partition("/")[2]
        copy(registry, release["image"]["digest"], source, f"mirror/{gone}")
    dev.patch("replicas", replicas=1)
    with rewriting(dev, tmp_path, f"{registry}/", f"{registry}/mirror/"):
        dev.deploy(one)
        dev.deploy(two)
        dev.serves(two)
        for pod in dev.leaving():  # and with the last one the image
            dev.kubectl("delete", f"pod/{pod}", "--force", "--grace-period=0")
        back = ["rollback", "dev", "--reason", "by the mirror"]
        assert f"passed by  release {label(one)}: its image {registry}/{gone}@" in dev.run(*back).err
        dev.fork.edit("pyproject.toml", 'dev = { context = ""', f'dev = {{ mirror = "{registry}/mirror", context = ""')
        dev.fork.commit("a mirror")
        dev.ok(*back)
        dev.serves(one)
        (pod,) = (p for p in dev.get("pods")["items"] if p["metadata"]["name"] not in dev.leaving())
        image = pod["spec"]["containers"][0]["image"]
        assert image == f"{registry}/mirror/{gone}@{one['image']['digest']}"
