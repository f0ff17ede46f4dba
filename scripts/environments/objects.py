"""The objects of an environment in its cluster: tried out, applied and pruned, with the ownership of their fields settled."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from scripts.environments import ownership
from scripts.environments.api import Api, UnknownKind
from scripts.environments.refusals import ClusterRefusal, explain
from scripts.ledger import rendering
from scripts.ledger.rendering import Manifest
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

# Kinds that hold no data: a pruned object can be applied again. Any other kind is reported and left.
PRUNED = {
    **dict.fromkeys(("Service", "ServiceAccount", "ConfigMap"), "v1"),
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    **dict.fromkeys(("HTTPRoute", "GRPCRoute"), "gateway.networking.k8s.io/v1"),
    **dict.fromkeys(("Rollout", "AnalysisTemplate"), "argoproj.io/v1alpha1"),
    **dict.fromkeys(("Canary", "MetricTemplate"), "flagger.app/v1beta1"),
    **dict.fromkeys(("BackendTrafficPolicy", "EnvoyExtensionPolicy"), "gateway.envoyproxy.io/v1alpha1"),
}


class Objects:
    def __init__(self, api: Api, namespace: str):
        self.api, self.namespace = api, namespace

    def find(self, api_version: str, kind: str, name: str) -> Manifest | None:
        return self._asked(f"{kind}/{name}", self.api.find, self._path(api_version, kind, name))

    def listed(self, api_version: str, kind: str, **query: str) -> list[Manifest]:
        return self._asked(kind, self.api.request, "GET", self._path(api_version, kind, ""), **query)["items"]

    def put(self, document: Manifest) -> None:
        """Applies `document` over any changes that others have made."""
        self._asked(rendering.title(document), self.api.apply, self._path_of(document), document, force=True)

    def remove(self, live: Manifest) -> None:
        """Deletes this very object, and in the background what belongs to it."""
        body = {"preconditions": {"uid": live["metadata"]["uid"]}, "propagationPolicy": "Background"}
        self._asked(rendering.title(live), self.api.delete, self._path_of(live), body)

    def note(self, live: Manifest, annotations: dict[str, str | None]) -> None:
        """Sets annotations of an object, or takes away those that are None; everything else stays as it is."""
        body = {"metadata": {"annotations": annotations}}
        kind = "application/merge-patch+json"
        self._asked(rendering.title(live), self.api.request, "PATCH", self._path_of(live), body, kind)

    def applied(self) -> list[str]:
        """The objects applied from here whose kind may be pruned: "API_VERSION KIND NAME"."""
        found = []
        for kind, api_version in PRUNED.items():
            with suppress(YourTurn):  # a kind that this cluster does not know
                live = filter(ownership.is_ours, self.listed(api_version, kind))
                found += [f"{api_version} {kind} {item['metadata']['name']}" for item in live]
        return found

    def changes(self, manifests: list[Manifest]) -> list[str]:
        """What an apply would change, by the API server's own dry run: admission webhooks may refuse before anything is touched."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            return [line for lines in pool.map(self._changes, manifests) for line in lines]

    def _changes(self, manifest: Manifest) -> list[str]:
        live, title = self._live(manifest), rendering.title(manifest)
        if not live:
            self._apply(manifest, dry_run=True)
            return [f"{title} is added"]
        wanted = self._apply(
            ownership.filled(manifest, live), dry_run=True, force=ownership.is_disputed(live, manifest)
        )
        foreign = [f"{title} {line}" for line in ownership.foreign_fields(live, manifest)]
        return rendering.changes(live, wanted) + foreign

    def apply(self, manifests: list[Manifest]) -> Manifest:
        """Applies the manifests and returns the Deployment. It comes last, so that everything its pods need is there."""
        workload = rendering.workload(manifests)
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(self.bring, [manifest for manifest in manifests if manifest is not workload]))
        return self.bring(workload)

    def bring(self, manifest: Manifest) -> Manifest:
        """Applies one manifest, with the ownership of its fields settled; as it then is."""
        self._settle_ownership(manifest)
        return self._apply(manifest)

    def _settle_ownership(self, manifest: Manifest) -> None:
        """Takes over the fields that people changed by hand, so that the apply corrects them. Releases the fields left to others, so that
        the apply does not remove them. Other controllers keep their fields."""
        path = self._path_of(manifest)
        for attempt in (1, 2, 3, 4, 5):
            live = self._live(manifest)
            if not live or (fields := ownership.settled(live, manifest)) is None:
                return
            metadata = {"managedFields": fields, "resourceVersion": live["metadata"]["resourceVersion"]}
            try:
                self.api.request("PATCH", path, {"metadata": metadata}, "application/merge-patch+json")
            except ClusterRefusal as error:
                if error.status != 409 or attempt == 5:  # a controller was faster: look again
                    raise explain(error, rendering.title(manifest), self.api.environment) from None

    def prune(self, identity: str) -> None:
        """Removes the object "API_VERSION KIND NAME", which was applied once and is not rendered any more."""
        api_version, kind, name = identity.split(" ")
        try:
            path = self._path(api_version, kind, name)
        except UnknownKind:
            return  # its kind is gone from the cluster, and the object with it
        live = self._asked(f"{kind}/{name}", self.api.find, path)
        if not live:
            return
        if kind not in PRUNED or not ownership.is_ours(live):
            why = "is of a kind that may hold data" if kind not in PRUNED else "is somebody else's by now"
            console.say(f"  left       {kind}/{name} {why}, though it is not rendered any more")
            return
        self.remove(live)
        console.say(f"  pruned     {kind}/{name}: it is not rendered any more")

    def _apply(self, manifest: Manifest, **options: bool) -> Manifest:
        return self._asked(rendering.title(manifest), self.api.apply, self._path_of(manifest), manifest, **options)

    def _live(self, manifest: Manifest) -> Manifest | None:
        return self._asked(rendering.title(manifest), self.api.find, self._path_of(manifest))

    def _path_of(self, manifest: Manifest) -> str:
        return self._path(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])

    def _path(self, api_version: str, kind: str, name: str) -> str:
        return self._asked(f"{kind}/{name}", self.api.path, api_version, kind, self.namespace, name)

    def _asked(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Makes `call`, and puts a refusal of the API server in words."""
        try:
            return call(*arguments, **options)
        except ClusterRefusal as error:
            raise explain(error, what, self.api.environment) from None
