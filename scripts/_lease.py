"""One deployer at a time in an environment, wherever it runs: a Lease in its namespace."""

import datetime
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from scripts._api import Api, Refused, explain
from scripts._delivery import NotApplied
from scripts._errors import YourTurn

NAME = "deployer"
SECONDS = 60  # after which one that was killed no longer counts; an API server may be away for that long
RENEW_SECONDS = 15
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@contextmanager
def held(api: Api, namespace: str, verb: str) -> Generator[None]:
    """Raises NotApplied if another deployer holds it. One that was killed on this computer does not."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    done = threading.Event()
    try:
        lease = _take(api, leases, verb)
    except Refused as error:
        raise explain(error, f"Lease/{NAME}", api.environment) from None
    keeper = threading.Thread(target=_renew, args=(api, leases, lease, done), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        with suppress(Refused, YourTurn):
            api.request("DELETE", f"{leases}/{NAME}")


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
    except Refused as error:
        winner = api.find(f"{leases}/{NAME}")
        if error.status != 409 or not winner:
            raise
        raise _refusal(api, winner) from None


def _refusal(api: Api, lease: dict[str, Any]) -> NotApplied:
    spec = lease["spec"]
    problem = f"another deployer is at work in {api.environment}: {spec['holderIdentity']}, since {spec['acquireTime'][:19]} UTC"
    return NotApplied(problem, f"wait for it to end; if it was killed, {SECONDS} s from its last sign of life")


def _document(verb: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime(FORMAT)
    holder = f"./pipeline {verb} (process {os.getpid()} on {socket.gethostname()})"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": now, "renewTime": now}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}, "spec": spec}


def _is_alive(spec: dict[str, Any]) -> bool:
    renewed = datetime.datetime.strptime(spec["renewTime"], FORMAT).replace(tzinfo=datetime.UTC)
    if datetime.datetime.now(datetime.UTC) - renewed > datetime.timedelta(seconds=SECONDS):
        return False
    process, _, host = spec["holderIdentity"].partition("(process ")[2].rstrip(")").partition(" on ")
    return host != socket.gethostname() or _runs(int(process))


def _runs(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def _renew(api: Api, leases: str, lease: dict[str, Any], done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        lease["spec"]["renewTime"] = datetime.datetime.now(datetime.UTC).strftime(FORMAT)
        with suppress(Refused, YourTurn):
            lease = api.request("PUT", f"{leases}/{NAME}", lease)
