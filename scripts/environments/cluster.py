"""An environment in a Kubernetes cluster: what is committed in its overlay, brought there by server-side apply.

Git says what should run (_overlay.py). The cluster remembers what did: a ConfigMap in the environment's namespace lists the objects
that were applied, so that they can be pruned, and the releases that were verified, so that one can be put back.
"""

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from scripts.environments import forwarding, lease, ownership, rollout
from scripts.environments.api import Api, ClusterRefusal, explain
from scripts.environments.client import Endpoint
from scripts.environments.delivery import Target
from scripts.ledger import rendering
from scripts.ledger.entries import Entry
from scripts.ledger.kustomization import NAME
from scripts.ledger.overlays import Overlay
from scripts.ledger.rendering import Manifest
from scripts.workspace import console, git, lock
from scripts.workspace.errors import YourTurn

MEMORY = "deployments"  # the ConfigMap
REMEMBERED = 50  # verified deployments: more than anybody rolls back
# Kinds that hold no data: what is pruned can be applied again. Anything else is left, and said.
PRUNED = {
    *("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"),
    *("HTTPRoute", "GRPCRoute", "PodMonitor", "ConfigMap"),
}


class Cluster:
    def __init__(self, name: str, context: str):
        self.name, self.context, self.overlay = name, context, Overlay(name)
        self._rendered: dict[tuple[str, str], list[Manifest]] = {}

    @cached_property
    def api(self) -> Api:
        return Api(self.name, self.context)

    @cached_property
    def namespace(self) -> str:
        return self.overlay.namespace() or rendering.namespace(rendering.render(self.name, "HEAD", None))

    @contextmanager
    def exclusively(self, verb: str) -> Generator[None]:
        with lock.held(verb), lease.held(self.api, self.namespace, verb):
            yield

    # --- what git says

    def history(self) -> list[Entry]:
        return self.overlay.history()

    def ledger(self) -> str | None:
        release = self.overlay.release()
        return release.label if release else None

    def candidate(self) -> Target | None:
        release = self.overlay.release()
        return Target(release, self.overlay.revision()) if release else None

    def find(self, which: str) -> Target:
        """That release in today's overlay: what is inside the image comes back, the environment's own resources stay."""
        return Target(self.overlay.find(which), self.overlay.revision())

    # --- what the cluster remembers

    def served(self) -> list[str]:
        return [entry["release"] for entry in self._memory()["served"]]

    def before(self) -> Target | None:
        served = self._memory()["served"]
        if not served:
            return None
        last, release = served[-1], self.overlay.find(served[-1]["release"])
        return Target(release, last["revision"] if git.exists(last["revision"]) else self.overlay.revision())

    def record(self, entry: Entry, target: Target | None) -> None:
        """A deployment that served: the cluster's memory first, and then a commit if git says otherwise."""
        if entry.outcome != "serving" or not target:
            return
        memory = self._memory()
        line = {"release": entry.release, "revision": target.revision, "action": entry.action, "time": entry.time}
        last = (memory["served"] or [{}])[-1]
        if (last.get("release"), last.get("revision")) != (entry.release, target.revision):
            self._remember(memory | {"served": [*memory["served"], line][-REMEMBERED:]})
        if entry.action != "deploy" and (commit := self.overlay.write(target.release, target.revision, entry)):
            console.say(f"  ledger     {self.overlay.folder} says so too: commit {commit[:12]}; git push")

    def _memory(self) -> dict[str, Any]:
        found = self._asked("ConfigMap", MEMORY, self.api.find, self._path("v1", "ConfigMap", MEMORY))
        return {key: json.loads(((found or {}).get("data") or {}).get(key, "[]")) for key in ("inventory", "served")}

    def _remember(self, memory: dict[str, Any]) -> None:
        data = {key: json.dumps(value, indent=1) for key, value in memory.items()}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MEMORY}, "data": data}
        self._asked("ConfigMap", MEMORY, self.api.apply, self._path("v1", "ConfigMap", MEMORY), document, force=True)

    # --- bringing it there

    def prepare(self, target: Target) -> None:
        self._render(target)

    def apply(self, target: Target) -> None:
        """Tries everything without changing anything, then applies, then waits for the rollout."""
        manifests = self._render(target)
        for line in self._changes(manifests):
            console.say(f"  change     {line}")
        memory = self._memory()
        inventory = memory["inventory"] + [i for i in map(_identity, manifests) if i not in memory["inventory"]]
        self._remember(memory | {"inventory": inventory})  # first: what is applied is then known, whenever this ends
        deployment = self._apply_all(manifests)
        selector = deployment["spec"]["selector"]["matchLabels"]
        started = rollout.Rollout(self.api, self.namespace, deployment["metadata"]["name"], selector)
        started.wait(deployment["metadata"]["generation"])

    def _render(self, target: Target) -> list[Manifest]:
        key = (target.revision, target.release.label)
        if key not in self._rendered:
            self._rendered[key] = rendering.render(self.name, target.revision, target.release)
        return self._rendered[key]

    def _changes(self, manifests: list[Manifest]) -> list[str]:
        """What an apply would change, by the API server's own dry run: admission has its say before anything is touched."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            return [line for lines in pool.map(self._changes_of, manifests) for line in lines]

    def _changes_of(self, manifest: Manifest) -> list[str]:
        path = self._path_of(manifest)
        live = self._asked(manifest["kind"], manifest["metadata"]["name"], self.api.find, path)
        if not live:
            self._asked(*_names(manifest), self.api.apply, path, manifest, dry_run=True)
            return [f"{rendering.title(manifest)} is added"]
        hands = bool(ownership.by_hand(live))
        wanted = self._asked(*_names(manifest), self.api.apply, path, manifest, dry_run=True, force=hands)
        foreign = [f"{rendering.title(manifest)} {line}" for line in ownership.foreign_fields(live, manifest)]
        return rendering.changes(live, wanted) + foreign

    def _apply_all(self, manifests: list[Manifest]) -> Manifest:
        """Returns the Deployment, which comes last: what its pods need is there by then."""
        workload = rendering.workload(manifests)
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(self._apply, [manifest for manifest in manifests if manifest is not workload]))
        return self._apply(workload)

    def _apply(self, manifest: Manifest) -> Manifest:
        self._take_over(manifest)
        return self._asked(*_names(manifest), self.api.apply, self._path_of(manifest), manifest)

    def _take_over(self, manifest: Manifest) -> None:
        """What people changed by hand becomes ours, so that the apply puts it right; other controllers' fields stay theirs."""
        path = self._path_of(manifest)
        for attempt in (1, 2, 3, 4, 5):
            live = self._asked(*_names(manifest), self.api.find, path)
            if not live or not ownership.by_hand(live):
                return
            fields = {
                "managedFields": ownership.taken_over(live),
                "resourceVersion": live["metadata"]["resourceVersion"],
            }
            try:
                self.api.request("PATCH", path, {"metadata": fields}, "application/merge-patch+json")
            except ClusterRefusal as error:
                if error.status != 409 or attempt == 5:  # a controller was faster: look again
                    raise explain(error, rendering.title(manifest), self.name) from None

    def settle(self, target: Target) -> None:
        """Prunes what was applied once and is not rendered any more."""
        memory, wanted = self._memory(), list(map(_identity, self._render(target)))
        for identity in [i for i in memory["inventory"] if i not in wanted]:
            self._prune(identity)
        if memory["inventory"] != wanted:
            self._remember(self._memory() | {"inventory": wanted})

    def _prune(self, identity: str) -> None:
        api_version, kind, name = identity.split(" ")
        try:
            path = self._path(api_version, kind, name)
        except YourTurn:
            return  # its kind is gone from the cluster, and it with it
        live = self._asked(kind, name, self.api.find, path)
        if not live:
            return
        if kind not in PRUNED or not ownership.is_ours(live):
            why = "is of a kind that may hold data" if kind not in PRUNED else "is somebody else's by now"
            console.say(f"  left       {kind}/{name} {why}, though it is not rendered any more")
            return
        body = {"preconditions": {"uid": live["metadata"]["uid"]}, "propagationPolicy": "Background"}
        self._asked(kind, name, self.api.request, "DELETE", path, body)
        console.say(f"  pruned     {kind}/{name}: it is not rendered any more")

    # --- what is there

    def running(self) -> str | None:
        live = self._deployment()
        if not live:
            return None
        image = _image(live["spec"]["template"]["spec"])
        release = self.overlay.release()
        if release and image == "@".join(release.image):
            return release.label
        earlier = map(self.overlay.find, reversed(self.served()))
        return next((release.label for release in earlier if image == "@".join(release.image)), image)

    def drift(self) -> list[str]:
        """What `deploy` would change, a line each."""
        target = self.candidate()
        if not target:
            return []
        wanted = self._render(target)
        gone = [i.split(" ") for i in self._memory()["inventory"] if i not in map(_identity, wanted)]
        return self._changes(wanted) + [f"{kind}/{name} is not rendered any more" for _, kind, name in gone]

    @contextmanager
    def endpoints(self) -> Generator[list[Endpoint]]:
        """Every pod by itself. Raises YourTurn if one runs another image than the Deployment says."""
        live = self._deployment()
        pods, image = (self._pods(live), _image(live["spec"]["template"]["spec"])) if live else ([], "")
        if wrong := [f"{p['metadata']['name']} runs {_image(p['spec'])}" for p in pods if not _runs(p, image)]:
            raise YourTurn(f"{self.name}: {'; '.join(wrong)}", f"./pipeline deploy {self.name}")
        with forwarding.forwarded([pod["metadata"]["name"] for pod in pods], self.namespace, self.context) as endpoints:
            yield endpoints

    def _deployment(self) -> Manifest | None:
        return self._asked("Deployment", NAME, self.api.find, self._path("apps/v1", "Deployment", NAME))

    def _pods(self, deployment: Manifest) -> list[Manifest]:
        """Those that serve or are meant to; one that is on its way out answers nobody new."""
        labels = ",".join(f"{k}={v}" for k, v in deployment["spec"]["selector"]["matchLabels"].items())
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self._asked("Pod", "*", self.api.request, "GET", path, labelSelector=labels)["items"]
        return [p for p in found if "deletionTimestamp" not in p["metadata"] and p["status"]["phase"] == "Running"]

    def _path(self, api_version: str, kind: str, name: str) -> str:
        return self._asked(kind, name, self.api.path, api_version, kind, self.namespace, name)

    def _path_of(self, manifest: Manifest) -> str:
        return self._path(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])

    def _asked(self, kind: str, name: str, call: Any, *arguments: Any, **options: Any) -> Any:
        """`call`, with a refusal of the API server put in words."""
        try:
            return call(*arguments, **options)
        except ClusterRefusal as error:
            raise explain(error, f"{kind}/{name}", self.name) from None


def _names(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _identity(manifest: Manifest) -> str:
    return f"{manifest['apiVersion']} {manifest['kind']} {manifest['metadata']['name']}"


def _image(pod: dict[str, Any]) -> str:
    return next(c["image"] for c in pod["containers"] if c["name"] == NAME)


def _runs(pod: Manifest, image: str) -> bool:
    """Whether it was told to run `image`, and the kubelet says that it does (an image loaded by hand has no repository digest)."""
    status = next((s for s in pod["status"].get("containerStatuses", []) if s["name"] == NAME), {})
    repository, _, digest = status.get("imageID", "").rpartition("@")
    return _image(pod["spec"]) == image and (not repository or digest == image.partition("@")[2])
