"""One deployer at a time in an environment, wherever it runs: a Lease in its namespace."""

import _thread
import datetime
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from scripts.environments.api import Api, ClusterRefusal, explain
from scripts.environments.delivery import NotApplied
from scripts.workspace.errors import YourTurn

NAME = "deployer"
SECONDS = 60  # after which one that was killed no longer counts; an API server may be away for that long
RENEW_SECONDS = 15
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@contextmanager
def held(api: Api, namespace: str, verb: str) -> Generator[None]:
    """Raises NotApplied if another deployer holds it (one that was killed on this computer does not); YourTurn if it is lost meanwhile."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    try:
        holder = _Holder(api, f"{leases}/{NAME}", _take(api, leases, verb))
    except ClusterRefusal as error:
        raise explain(error, f"Lease/{NAME}", api.environment) from None
    try:
        yield
    except KeyboardInterrupt:
        if not holder.lost:
            raise
        problem = f"another deployer has taken over {api.environment}, or somebody has deleted Lease/{NAME} there"
        raise YourTurn(problem, f"./pipeline status {api.environment}, and see what is at work there") from None
    finally:
        holder.let_go()


class _Holder:
    """Gives a sign of life from a thread of its own, and interrupts the main one if the lease is somebody else's by now."""

    def __init__(self, api: Api, path: str, lease: dict[str, Any]):
        self.lost = False
        self._api, self._path, self._lease, self._done = api, path, lease, threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._done.wait(RENEW_SECONDS):
            with suppress(YourTurn):  # no answer: the lease lasts, and the next sign may get through
                self._renew()
            if self.lost:
                _thread.interrupt_main()
                return

    def _renew(self) -> None:
        self._lease["spec"]["renewTime"] = _now()
        try:
            self._lease = self._api.request("PUT", self._path, self._lease)
        except ClusterRefusal as error:
            if error.status not in (404, 409):
                return
            present = self._api.find(self._path)
            self.lost = not present or not _is_same(present, self._lease)
            self._lease = present or self._lease  # ours: it was renewed, and the answer got lost

    def let_go(self) -> None:
        self._done.set()
        self._thread.join()
        version = {"resourceVersion": self._lease["metadata"]["resourceVersion"]}  # not another deployer's
        with suppress(ClusterRefusal, YourTurn):
            if not self.lost:
                self._api.request("DELETE", self._path, {"preconditions": version})


def _take(api: Api, leases: str, verb: str) -> dict[str, Any]:
    mine = _document(verb)
    present = api.find(f"{leases}/{NAME}")
    if present and _is_alive(present["spec"]):
        raise _refusal(api, present)
    try:
        if present:  # the version makes one of two who both saw a dead holder lose
            mine["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"]
            return api.request("PUT", f"{leases}/{NAME}", mine)
        return api.request("POST", leases, mine)
    except ClusterRefusal as error:
        winner = api.find(f"{leases}/{NAME}")
        if error.status != 409 or not winner:
            raise
        if _is_same(winner, mine):  # asked twice, since the first answer got lost
            return winner
        raise _refusal(api, winner) from None


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one["spec"].get(key) == other["spec"][key] for key in ("holderIdentity", "acquireTime"))


def _refusal(api: Api, lease: dict[str, Any]) -> NotApplied:
    spec = lease["spec"]
    problem = f"another deployer is at work in {api.environment}: {spec['holderIdentity']}, since {spec['acquireTime'][:19]} UTC"
    return NotApplied(problem, f"wait for it to end; if it was killed, {SECONDS} s from its last sign of life")


def _document(verb: str) -> dict[str, Any]:
    now = _now()
    holder = f"./pipeline {verb} (process {os.getpid()} on {socket.gethostname()})"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": now, "renewTime": now}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime(FORMAT)


def _is_alive(spec: dict[str, Any]) -> bool:
    renewed = datetime.datetime.strptime(spec["renewTime"], FORMAT).replace(tzinfo=datetime.UTC)
    if datetime.datetime.now(datetime.UTC) - renewed > datetime.timedelta(seconds=SECONDS):
        return False
    process, _, host = spec["holderIdentity"].partition("(process ")[2].rstrip(")").partition(" on ")
    return host != socket.gethostname() or _runs(int(process))


def _runs(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
