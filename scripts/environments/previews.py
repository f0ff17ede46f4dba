"""A pull request in a namespace of its own: the first environment's manifests, as this checkout has them, with its own candidate in them.

A preview is deployed and verified as any environment is. It has no ledger: it should serve the head of the pull request. Its deployer
has rights in namespaces called preview-NUMBER, and nowhere else (k8s/previews).
"""

from collections.abc import Iterator
from functools import cached_property

from scripts.environments.api import Api
from scripts.environments.cluster import Cluster
from scripts.environments.refusals import ClusterRefusal, explain
from scripts.environments.target import Target
from scripts.github import gh
from scripts.ledger import overlays, rendering
from scripts.ledger.overlays import Overlay
from scripts.ledger.rendering import Manifest
from scripts.release import releases
from scripts.workspace import git
from scripts.workspace.errors import YourTurn

LABEL = "pipeline.preview"  # the pull request's number
OWNER = "pipeline.repository"  # an annotation: two forks may share a cluster
# Routes would take the environment's traffic: a preview is asked through a port-forward. Its alerts would call somebody. A verdict by
# requests would never come.
LEFT_OUT = {"HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "EnvoyExtensionPolicy", "PrometheusRule"}
LEFT_OUT |= {"Rollout", "AnalysisTemplate", "Canary", "MetricTemplate"}


class Preview(Cluster):
    def __init__(self, number: int):
        super().__init__(f"preview-{number}", context="")
        self.number, self.model = number, overlays.first()
        self.overlay = Overlay(self.model)

    @cached_property
    def namespace(self) -> str:
        return self.name

    def create(self) -> None:
        """Creates the namespace, under the same rules as any other. Raises YourTurn if another repository has one of that name."""
        present = self.objects.find("v1", "Namespace", self.namespace)
        if present and _owner(present) != gh.repository():
            problem = f"the namespace {self.namespace} belongs to {_owner(present) or 'nobody known'}"
            raise YourTurn(problem, "give this repository's previews a cluster of their own")
        labels = {"serving": "true", "pod-security.kubernetes.io/enforce": "restricted", LABEL: str(self.number)}
        metadata = {"name": self.namespace, "labels": labels, "annotations": {OWNER: gh.repository()}}
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.objects.put(document)

    def candidate(self) -> Target:
        return Target(releases.read(), git.text("rev-parse", "HEAD"))

    def refuse_share(self, target: Target) -> None:
        """It has no traffic to share."""

    def before(self) -> None:
        """Nothing is put back: what a pull request served before its last push is of no use to anybody."""

    def rendered(self, target: Target) -> list[Manifest]:
        key = (target.revision, target.release.label)
        if key not in self._rendered:
            manifests = rendering.render(self.model, target.revision, target.release, self.namespace)
            self._rendered[key] = [m for m in manifests if m["kind"] not in LEFT_OUT]
        return self._rendered[key]


def sweep() -> Iterator[str]:
    """Removes every namespace whose pull request is no longer open, and yields its name."""
    api = Api("preview", "")
    try:
        for namespace in api.request("GET", "/api/v1/namespaces", labelSelector=LABEL)["items"]:
            name, number = namespace["metadata"]["name"], namespace["metadata"]["labels"][LABEL]
            gone = "deletionTimestamp" in namespace["metadata"]
            if _owner(namespace) == gh.repository() and not gone and not _is_open(number):
                api.delete(f"/api/v1/namespaces/{name}", {})
                yield name
    except ClusterRefusal as error:
        raise explain(error, "Namespace", "preview") from None


def _is_open(number: str) -> bool:
    return gh.api("GET", f"pulls/{number}")["state"] == "open"


def _owner(namespace: Manifest) -> str | None:
    return (namespace["metadata"].get("annotations") or {}).get(OWNER)
