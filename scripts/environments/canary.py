"""A canary: the new release beside the old one on a share of the requests, step by step, before it takes them all.

Each step starts as many pods as its share needs, verifies them, and compares what old and new pods count themselves. A step that is done is
remembered in the cluster: whoever runs the same deployment again goes on with the next one, or takes back what has failed.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from scripts.environments import metrics, pods
from scripts.environments.answers import AT_ONCE, verify
from scripts.environments.client import Endpoint, NoAnswer
from scripts.environments.metrics import Series, Side
from scripts.environments.refusals import Failed
from scripts.environments.target import Target
from scripts.ledger import shares
from scripts.workspace import console, settings
from scripts.workspace.canaries import Canary
from scripts.workspace.errors import YourTurn

if TYPE_CHECKING:
    from scripts.environments.cluster import Cluster

LOOKS = 10  # at the metrics, in each step
PATIENCE = 5  # attempts at the first look and the last one, a second apart
REMEDY = "look at its log and its metrics, mend the release; docs/canary.md says how the bounds are set"


class Pods:
    """The pods of the old release, or of the new one."""

    def __init__(self, cluster: "Cluster", new: bool):
        self.name, self.cluster, self.new = cluster.name, cluster, new

    def endpoints(self) -> AbstractContextManager[list[Endpoint]]:
        return self.cluster.servers(shares.CANARY) if self.new else self.cluster.endpoints()

    def counted(self) -> dict[str, Series]:
        """What each has counted in its life, by name. Raises YourTurn if one cannot be asked now."""
        with self.endpoints() as endpoints, ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return dict(pool.map(self._read, endpoints))

    def _read(self, endpoint: Endpoint) -> tuple[str, Series]:
        try:
            with endpoint.connected() as connected:
                return endpoint.name, metrics.parse(connected.metrics())
        except NoAnswer as error:
            why = (endpoint.way and endpoint.way.trouble) or error
            problem = f"{endpoint.name} could not be asked for its metrics: {why}"
            raise YourTurn(problem, f"./pipeline status {self.name}") from None


def try_out(cluster: "Cluster", target: Target) -> str:
    """Takes the steps that are left, where the settings say so: of another release only, and beside pods that serve.

    Returns what was seen in all of them, in words; raises Failed if the release is worse than the old one.
    """
    label, bounds = target.release.label, settings.read().canary(cluster.name)
    known = cluster.remembered().canary_of(label)
    saw: list[str] = list(known["saw"])
    try:
        if known["failed"]:
            raise Failed(known["failed"], REMEDY)
        if bounds and _beside(cluster) and cluster.running() != label:
            for share in bounds.steps[len(saw) :]:
                _remember(cluster, label, saw)
                saw.append(_step(cluster, target, share, bounds))
            _remember(cluster, label, saw)
    except Failed as error:
        _remember(cluster, label, saw, error.problem)
        raise
    return "; ".join(saw)


def _remember(cluster: "Cluster", label: str, saw: list[str], failed: str = "") -> None:
    cluster.remember(cluster.remembered().with_canary(label, saw, failed))


def _beside(cluster: "Cluster") -> int:
    """How many pods the old release is to have; 0 without one."""
    live = cluster.deployment()
    return live["spec"].get("replicas", 1) if live else 0


def _step(cluster: "Cluster", target: Target, share: int, bounds: Canary) -> str:
    """One step; what was seen. Raises Failed."""
    rendered, beside = cluster.rendered(target), _beside(cluster)
    number = shares.pods(rendered, share, beside)
    objects, routes = shares.manifests(rendered, share, number)
    with console.stage("canary") as stage:
        cluster.note(objects)
        cluster.wait([cluster.objects.bring(manifest) for manifest in objects][-1])
        stage.result = f"{cluster.name}: release {target.release.name} in {number} of {beside + number} pods"
    with console.stage("verify") as stage:
        stage.result = verify(Pods(cluster, new=True), target.release)
    for route in routes:
        cluster.objects.bring(route)
    part = f"{share} % by the route" if routes else f"{number} of {beside + number} pods"
    console.say(f"  canary     {part}, for {bounds.minutes:g} minutes")
    return f"{part}: {_watch(cluster, [model['name'] for model in target.release.models], bounds)}"


def _watch(cluster: "Cluster", models: list[str], bounds: Canary) -> str:
    """Looks at the metrics until the step's time is over.

    Errors and restarts end it at once; delays and silence count at the end.
    """
    old, new = Side(), Side()
    _look(cluster, old, new, PATIENCE)  # a pod that is missed here would count from the beginning of its life
    before, begin = _restarts(cluster), time.monotonic()
    for number in range(1, LOOKS + 1):
        time.sleep(max(0, begin + bounds.minutes * 60 * number / LOOKS - time.monotonic()))
        _look(cluster, old, new, PATIENCE if number == LOOKS else 1)
        console.say(f"  canary     new: {new}; old: {old}")
        problems = metrics.errors(old, new, models, bounds)
        if (restarted := _restarts(cluster) - before) > 0:
            problems.append(f"its pods were restarted {restarted} times")
        if problems:
            raise _worse(problems)
    if problems := metrics.delays(old, new, models, bounds):
        raise _worse(problems)
    return f"{new}; the old: {old}{quiet(old, new, models, bounds)}"


def quiet(old: Side, new: Side, models: list[str], bounds: Canary) -> str:
    """What to add where there was too little traffic. Raises Failed where the settings say so."""
    found = metrics.silence(old, new, models, bounds)
    if not found:
        return ""
    text = f"too little traffic to judge by: {', '.join(found)}"
    if bounds.quiet == "go-on":
        console.say(f"  canary     {text}; it goes on, as `quiet` says")
        return f"; {text}"
    where = "`canary` in [tool.pipeline.environments] of pyproject.toml"
    raise Failed(f"the canary had {text}", f'longer `minutes`, fewer `requests`, or quiet = "go-on" in {where}')


def _look(cluster: "Cluster", old: Side, new: Side, attempts: int) -> None:
    """Looks at all pods. One that cannot be asked may be on its way out: several `attempts` must succeed at last, a single one may fail."""
    for left in range(attempts - 1, -1, -1):
        try:
            counted = [Pods(cluster, new=side is new).counted() for side in (old, new)]
        except YourTurn as error:
            if attempts > 1 and not left:
                raise
            console.say(f"  canary     {error.problem}")
            time.sleep(1 if left else 0)
        else:
            old.look(counted[0])
            new.look(counted[1])
            return


def _restarts(cluster: "Cluster") -> int:
    return sum(map(pods.restarts, cluster.objects.listed("v1", "Pod", labelSelector=shares.LABEL)))


def _worse(problems: list[str]) -> Failed:
    return Failed(f"the canary is worse: {'; '.join(problems)}", REMEDY)
