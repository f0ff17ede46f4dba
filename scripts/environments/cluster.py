"""An environment in a Kubernetes cluster: what is committed in its overlay, brought there by server-side apply.

Git says what should run (ledger/overlays.py). The cluster remembers what did (memory.py).
"""

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain

from scripts.environments import canary, flagger, forwarding, handover, lease, memory, pods, rollout
from scripts.environments.api import Api
from scripts.environments.client import Endpoint
from scripts.environments.memory import Memory
from scripts.environments.objects import Objects
from scripts.environments.target import Target
from scripts.ledger import entries, rendering, shares
from scripts.ledger.entries import Entry
from scripts.ledger.history import NO_RELEASE
from scripts.ledger.kustomization import NAME
from scripts.ledger.overlays import Overlay
from scripts.ledger.rendering import Manifest
from scripts.workspace import actions, console, git, lock, settings
from scripts.workspace.errors import YourTurn

SCALER = " HorizontalPodAutoscaler "
CANARY = f"apps/v1 Deployment {shares.CANARY}"


class Cluster:
    def __init__(self, name: str, context: str):
        self.name, self.context, self.overlay = name, context, Overlay(name)
        self._rendered: dict[tuple[str, str], list[Manifest]] = {}
        self._recollection: Memory | None = None
        self._touched = False

    @cached_property
    def api(self) -> Api:
        return Api(self.name, self.context)

    @cached_property
    def namespace(self) -> str:
        return self.overlay.namespace() or rendering.namespace(rendering.render(self.name, "HEAD", None))

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.api, self.namespace)

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

    def find(self, which: str, with_manifests: bool = False) -> Target:
        release = self.overlay.find(which)
        return Target(release, self._revision(release.label) if with_manifests else self.overlay.revision())

    def _revision(self, label: str) -> str:
        """The manifests that `label` was deployed with last."""
        revision = next(
            (line.get("deployed", line["revision"]) for line in self.remembered().served if line["release"] == label),
            "",
        )
        if not git.exists(revision or "-"):
            problem = f"with which manifests {label} has served in {self.name} is not known in this clone"
            raise YourTurn(problem, "git fetch --unshallow; or without --with-manifests")
        return revision

    # --- what the cluster remembers

    def served(self) -> list[str]:
        return [line["release"] for line in self.remembered().served]

    def before(self) -> Target | None:
        served = self.remembered().served
        if not served:
            return None
        last, release = served[-1], self.overlay.find(served[-1]["release"])
        return Target(release, last["revision"] if git.exists(last["revision"]) else self.overlay.revision())

    def interrupted(self) -> Entry | None:
        begun = self.remembered().begun
        return Entry(**begun) if begun else None

    def finish(self) -> None:
        self.remember(self.remembered().with_begun(None))

    def record(self, entry: Entry, target: Target | None) -> None:
        """Writes the cluster's memory first, then a commit if git says otherwise."""
        if entry.outcome == "started":
            self.remember(self.remembered().with_begun(entry))
        if entry.outcome == "failed" and entry.action == "rollback":
            self._record_failure(entry)
        if entry.outcome != "serving" or not target:
            return
        remembered = self.remembered().with_served(entry, target.revision)
        self.remember(remembered.with_taken_back([*self.history(), entry]))
        if entry.action != "deploy" and (commit := self.overlay.write(target.release, target.revision, entry)):
            console.say(f"  ledger     {self.overlay.folder} says so too: commit {commit[:12]}; git push")
            actions.output(recorded=commit)

    def taken_back(self, target: Target) -> str:
        return self.remembered().why_not(target.release.name, self.history())

    def _record_failure(self, entry: Entry) -> None:
        """A line of the ledger for a rollback that failed, whether or not anything can be put back. The ledger's release stays."""
        if not (present := self.overlay.release()):
            return
        line = replace(entry, release=present.label, reason=f"to {entry.release}: {entry.reason}")
        try:
            self.overlay.write(present, "HEAD", line)
        except YourTurn as error:  # what served before comes back all the same
            console.say(f"  ledger     does not say that the rollback failed: {error.problem}")

    def check_record(self, target: Target) -> None:
        probe = Entry(entries.now(), "rollback", target.release.label, "serving", "a probe")
        self.overlay.check_writable(target.release, target.revision, probe)

    def remembered(self) -> Memory:
        try:
            if found := self.objects.find("v1", "ConfigMap", memory.NAME):
                return memory.read(found.get("data") or {})
            why = "is gone"
        except memory.Unreadable as error:
            why = f"cannot be read ({error})"
        return self._recalled(why)

    def _recalled(self, why: str) -> Memory:
        """Rebuilds the memory, once a process: the next write completes it."""
        live = self.answering()
        if not live:
            return Memory()
        if not self._recollection:
            console.say(f"  memory     ConfigMap/{memory.NAME} {why}: what served is taken from git and from what runs")
            history, reference = self.history(), pods.image(live["spec"]["template"]["spec"])
            known = [entry.release for entry in reversed(history) if entry.release != NO_RELEASE]
            inventory = [i for i in self.objects.applied() if i != f"v1 ConfigMap {memory.NAME}"]
            revision = self.overlay.revision()
            self._recollection = memory.recalled(history, self._label(reference, known), inventory, revision)
        return self._recollection

    def remember(self, remembered: Memory) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": memory.NAME},
            "data": remembered.data(),
        }
        self.objects.put(document)

    # --- bringing it there

    def prepare(self, target: Target) -> None:
        self.rendered(target)

    def apply(self, target: Target) -> None:
        """Tries everything without changing anything, then applies, then waits for the rollout."""
        manifests = self.rendered(target)
        for line in self.objects.changes(manifests):
            console.say(f"  change     {line}")
        remembered = self.note(manifests)
        for line in remembered.inventory:  # before the number of pods is ours again: an autoscaler would fight it
            if SCALER in line and line not in map(identity, manifests):
                self.objects.prune(line)
        late = handover.late(self.objects, manifests)
        deployment = self.objects.apply([manifest for manifest in manifests if manifest not in late])
        if CANARY in remembered.inventory and not remembered.is_canary(target.release.label):
            self.objects.prune(CANARY)  # another release's: it answers no longer than it must
        self.wait(deployment)
        is_new = target.release.label == self.ledger() != self.running()
        handover.bring(self.objects, late, at_once=not is_new)
        handover.wait(self.objects, manifests, deployment)
        if flagger.owns(deployment):
            self.wait(self.answering() or deployment)
            handover.bring(self.objects, late)

    def note(self, manifests: list[Manifest]) -> Memory:
        """Remembers them before they are applied: an interruption must leave no unknown object. Returns what was known before."""
        known = self.remembered()
        inventory = dict.fromkeys([*known.inventory, *map(identity, manifests)])
        self.remember(known.with_inventory([*inventory]))
        self._touched = True
        return known

    def wait(self, deployment: Manifest) -> None:
        selector = deployment["spec"]["selector"]["matchLabels"]
        started = rollout.Rollout(self.api, self.namespace, deployment["metadata"]["name"], selector)
        started.wait(deployment["metadata"]["generation"])

    def rendered(self, target: Target) -> list[Manifest]:
        key = (target.revision, target.release.label)
        if key not in self._rendered:
            self._rendered[key] = rendering.render(self.name, target.revision, target.release)
        return self._rendered[key]

    def settle(self, target: Target) -> None:
        """Prunes what was applied once and is not rendered any more."""
        remembered, wanted = self.remembered(), list(map(identity, self.rendered(target)))
        for line in [i for i in remembered.inventory if i not in wanted]:
            self.objects.prune(line)
        if remembered.inventory != wanted:
            self.remember(remembered.with_inventory(wanted))

    # --- a share of it first

    def refuse_share(self, target: Target) -> None:
        shares.check(self.rendered(target), self.name)

    def try_out(self, target: Target) -> str:
        return canary.try_out(self, target)

    # --- what is there

    def running(self) -> str | None:
        live = self.answering()
        if not live:
            return None
        reference = pods.image(live["spec"]["template"]["spec"])
        return self._label(reference, reversed(self.served())) or reference

    def _label(self, reference: str, earlier: Iterable[str]) -> str | None:
        """The label of the release with that image: the ledger's release, or the first of `earlier`."""
        release = self.overlay.release()
        known = chain([release] if release else [], map(self.overlay.find, earlier))
        return next((r.label for r in known if pods.digest(reference) == r.image[1]), None)

    def drift(self) -> list[str]:
        """What `deploy` would change, a line each."""
        target = self.candidate()
        if not target:
            return []
        wanted, known = self.rendered(target), self.remembered()
        gone = [i.split(" ") for i in known.inventory if i not in map(identity, wanted)]
        return (
            self.objects.changes(wanted)
            + [f"{kind}/{name} is not rendered any more" for _, kind, name in gone if name != shares.CANARY]
            + [f"{line}: deploy goes on with it, rollback takes it back" for line in known.canary_lines()]
        )

    def endpoints(self) -> AbstractContextManager[list[Endpoint]]:
        return self.servers(NAME)

    @contextmanager
    def servers(self, deployment: str) -> Generator[list[Endpoint]]:
        """Every pod of that Deployment by itself. Raises YourTurn if one runs another image than it says."""
        live = self.answering() if deployment == NAME else self.deployment(deployment)
        found, image = (self._pods(live), pods.image(live["spec"]["template"]["spec"])) if live else ([], "")
        found = [p for p in found if pods.serves_or_will(p) and pods.is_canary(p) == (deployment != NAME)]
        if wrong := [f"{p['metadata']['name']} runs {pods.image(p['spec'])}" for p in found if not pods.runs(p, image)]:
            raise YourTurn(f"{self.name}: {'; '.join(wrong)}", f"./pipeline deploy {self.name}")
        yield [forwarding.endpoint(self.api, pod) for pod in found]

    def obstacle(self, target: Target) -> str | None:
        live = self.answering()
        return pods.lost(target.release, self._pods(live) if live else [], settings.read().mirror(self.name))

    def touched(self) -> bool:
        return self._touched

    def deployment(self, name: str = NAME) -> Manifest | None:
        return self.objects.find("apps/v1", "Deployment", name)

    def answering(self) -> Manifest | None:
        """The Deployment whose pods answer: Flagger's copy, where it has made one."""
        live = self.deployment()
        return (flagger.owns(live) and self.deployment(flagger.COPY)) or live if live else None

    def _pods(self, deployment: Manifest) -> list[Manifest]:
        labels = ",".join(f"{k}={v}" for k, v in deployment["spec"]["selector"]["matchLabels"].items())
        return self.objects.listed("v1", "Pod", labelSelector=labels)


def identity(manifest: Manifest) -> str:
    return f"{manifest['apiVersion']} {manifest['kind']} {manifest['metadata']['name']}"
