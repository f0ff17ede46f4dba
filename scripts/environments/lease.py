"""One deployer at a time in an environment, wherever it runs: a Lease in its namespace.

The holder counts as alive by the rule of Kubernetes' leader election: by the renewals that this computer sees, on this computer's clock.
The times written in the Lease are another computer's; only people read them.
"""

import _thread
import datetime
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scripts.environments.api import Api
from scripts.environments.refusals import ClusterRefusal, explain
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

NAME = "deployer"
SECONDS = 60  # without a renewal, after which a holder counts as dead; it stops by itself RENEW_SECONDS before
RENEW_SECONDS = 5
LOOK_SECONDS = 1
PATIENCE_SECONDS = 1200  # of a rollback: a deployment at work ends within that, verified or put back
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@contextmanager
def held(api: Api, namespace: str, verb: str) -> Generator[None]:
    """Holds the lease. Raises YourTurn if another live deployer holds it, or if it is lost meanwhile.

    A rollback waits for the deployer at work: in an emergency nobody should have to ask again.
    """
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    try:
        holder = _Holder(api, f"{leases}/{NAME}", _wait_for(api, leases, verb))
    except ClusterRefusal as error:
        raise explain(error, f"Lease/{NAME}", api.environment) from None
    try:
        yield
    except KeyboardInterrupt:
        if not holder.lost:
            raise
        raise YourTurn(holder.lost, f"./pipeline status {api.environment}, and see what is at work there") from None
    finally:
        holder.let_go()


class _Holder:
    """Renews the lease from a thread of its own, and interrupts the main thread once another deployer has the lease."""

    def __init__(self, api: Api, path: str, lease: dict[str, Any]):
        self.lost = ""  # why
        self._api, self._path, self._lease, self._done = api, path, lease, threading.Event()
        self._renewed = time.monotonic()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._keep, self._watch)]
        for thread in self._threads:
            thread.start()

    def _keep(self) -> None:
        while not self._done.wait(RENEW_SECONDS) and not self.lost:
            with suppress(YourTurn, ClusterRefusal):  # no answer: the lease lasts, and the next sign may get through
                self._renew()

    def _watch(self) -> None:
        """Apart from the renewals, which may wait for an answer: this one must stop before another may begin."""
        while not self._done.wait(LOOK_SECONDS):
            if time.monotonic() - self._renewed > SECONDS - RENEW_SECONDS:
                self.lost = self.lost or f"Lease/{NAME} of {self._api.environment} could not be renewed in time"
            if self.lost:
                _thread.interrupt_main()
                return

    def _renew(self) -> None:
        begin = time.monotonic()  # another deployer counts from the moment at which the API server has it
        self._lease["spec"]["renewTime"] = _now()
        try:
            self._lease = self._api.request("PUT", self._path, self._lease)
        except ClusterRefusal as error:
            if error.status not in (404, 409):
                return
            present = self._api.find(self._path)
            if not present or not _is_same(present, self._lease):
                place = self._api.environment
                self.lost = f"another deployer has taken over {place}, or somebody has deleted Lease/{NAME} there"
            self._lease = present or self._lease  # renewed by us: the answer got lost
        self._renewed = begin

    def let_go(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        version = {"resourceVersion": self._lease["metadata"]["resourceVersion"]}  # not another deployer's
        with suppress(ClusterRefusal, YourTurn):
            if not self.lost:
                self._api.delete(self._path, {"preconditions": version})


class AtWork(YourTurn):
    """Another deployer holds it."""


def _wait_for(api: Api, leases: str, verb: str) -> dict[str, Any]:
    end, said = time.monotonic() + PATIENCE_SECONDS * (verb == "rollback"), False
    while True:
        try:
            return _take(api, leases, verb, said)
        except AtWork as error:
            if time.monotonic() >= end:
                raise
            if not said:
                console.say(f"  waiting    {error.problem}")
            said = True
            time.sleep(LOOK_SECONDS)


def _take(api: Api, leases: str, verb: str, said: bool) -> dict[str, Any]:
    mine = _document(verb)
    present = api.find(f"{leases}/{NAME}")
    if present and not _is_dead_here(present["spec"]):
        if not said:
            console.say(f"  waiting    for a sign of life of {_holder(present)}, or {SECONDS} s without")
        present = _outlast(api, f"{leases}/{NAME}", present)
    try:
        if present:  # of two deployers that saw a dead holder, the version lets only one win
            mine["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"]
            return api.request("PUT", f"{leases}/{NAME}", mine)
        return api.request("POST", leases, mine)
    except ClusterRefusal as error:
        winner = api.find(f"{leases}/{NAME}")
        if error.status != 409 or not winner:
            raise
        if _is_same(winner, mine):  # sent twice: the first answer got lost
            return winner
        raise _refusal(api, winner) from None


def _outlast(api: Api, path: str, lease: dict[str, Any]) -> dict[str, Any] | None:
    """The lease once its holder has given no sign of life for SECONDS, or None once it is gone. Raises YourTurn at the first sign."""
    begin = time.monotonic()
    while time.monotonic() - begin < SECONDS:
        time.sleep(LOOK_SECONDS)
        present = api.find(path)
        if not present:
            return None
        if present["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            raise _refusal(api, present)
    return lease


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one["spec"].get(key) == other["spec"][key] for key in ("holderIdentity", "acquireTime"))


def _holder(lease: dict[str, Any]) -> str:
    return lease["spec"].get("holderIdentity") or "nobody known"


def _refusal(api: Api, lease: dict[str, Any]) -> AtWork:
    since = (lease["spec"].get("acquireTime") or "an unknown time")[:19]
    problem = f"another deployer is at work in {api.environment}: {_holder(lease)}, since {since} UTC"
    remedy = f"wait for it to end (one that was killed counts as over after {SECONDS} s), then the same command again"
    return AtWork(problem, remedy)


def _document(verb: str) -> dict[str, Any]:
    now = _now()
    holder = f"./pipeline {verb} (process {os.getpid()} on {_computer()})"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": now, "renewTime": now}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime(FORMAT)


def _is_dead_here(spec: dict[str, Any]) -> bool:
    """Whether the holder is a process of this computer that was killed: then there is nothing to wait for.

    One that has its number may be another process.
    """
    process, computer = _process(spec)
    return computer == _computer() and not _runs(process)


def _process(spec: dict[str, Any]) -> tuple[int, str]:
    number, _, computer = (spec.get("holderIdentity") or "").partition("(process ")[2].rstrip(")").partition(" on ")
    return (int(number), computer) if number.isdigit() else (0, "")


def _computer() -> str:
    """The host name, with the boot and the PID namespace: containers may share a host name."""
    try:
        boot, space = Path("/proc/sys/kernel/random/boot_id").read_text()[:8], os.readlink("/proc/self/ns/pid")
        return f"{socket.gethostname()}/{boot}/{space.strip('pid:[]')}"
    except OSError:
        return socket.gethostname()


def _runs(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
