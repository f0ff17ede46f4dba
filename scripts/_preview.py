"""A pull request in a namespace of its own: the first environment's manifests, as this checkout has them, with its own candidate in them.

It is brought there and verified as any environment is. It has no ledger: what it should serve is the head of the pull request. Whoever
deploys it may act in namespaces called preview-NUMBER, and nowhere else (k8s/previews).
"""

from collections.abc import Iterator
from functools import cached_property

from scripts import _environments, _git, _github, _manifests, _release
from scripts._api import Api, Refused, explain
from scripts._cluster import Cluster
from scripts._delivery import Target
from scripts._errors import YourTurn
from scripts._manifests import Manifest
from scripts._overlay import Overlay

LABEL = "pipeline.preview"  # the pull request's number
OWNER = "pipeline.repository"  # an annotation: two forks may share a cluster
# What makes the environment reachable from outside would take its traffic: a preview is asked through a port-forward.
LEFT_OUT = {"HTTPRoute", "GRPCRoute"}


class Preview(Cluster):
    def __init__(self, number: int):
        super().__init__(f"preview-{number}", context="")
        self.number, self.model = number, _environments.names()[1]
        self.overlay = Overlay(self.model)

    @cached_property
    def namespace(self) -> str:
        return self.name

    def create(self) -> None:
        """The namespace, under the rules of every other. Raises YourTurn if another repository has one of that name."""
        path = f"/api/v1/namespaces/{self.namespace}"
        present = self._asked("Namespace", self.namespace, self.api.find, path)
        if present and _owner(present) != _github.repository():
            problem = f"the namespace {self.namespace} belongs to {_owner(present) or 'nobody known'}"
            raise YourTurn(problem, "give this repository's previews a cluster of their own")
        labels = {"serving": "true", "pod-security.kubernetes.io/enforce": "restricted", LABEL: str(self.number)}
        metadata = {"name": self.namespace, "labels": labels, "annotations": {OWNER: _github.repository()}}
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self._asked("Namespace", self.namespace, self.api.apply, path, document)

    def candidate(self) -> Target:
        return Target(_release.read(), _git.text("rev-parse", "HEAD"))

    def before(self) -> None:
        """Nothing is put back: what a pull request served before its last push is of no use to anybody."""

    def _render(self, target: Target) -> list[Manifest]:
        key = (target.revision, target.release.label)
        if key not in self._rendered:
            manifests = _manifests.render(self.model, target.revision, target.release, self.namespace)
            self._rendered[key] = [m for m in manifests if m["kind"] not in LEFT_OUT]
        return self._rendered[key]


def sweep() -> Iterator[str]:
    """Removes every namespace whose pull request is not open any more; gives their names."""
    api = Api("preview", "")
    try:
        for namespace in api.request("GET", "/api/v1/namespaces", labelSelector=LABEL)["items"]:
            name, number = namespace["metadata"]["name"], namespace["metadata"]["labels"][LABEL]
            gone = "deletionTimestamp" in namespace["metadata"]
            if _owner(namespace) == _github.repository() and not gone and not _is_open(number):
                api.request("DELETE", f"/api/v1/namespaces/{name}")
                yield name
    except Refused as error:
        raise explain(error, "Namespace", "preview") from None


def _is_open(number: str) -> bool:
    return _github.api("GET", f"pulls/{number}")["state"] == "open"


def _owner(namespace: Manifest) -> str | None:
    return (namespace["metadata"].get("annotations") or {}).get(OWNER)
