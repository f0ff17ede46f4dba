"""The API server of one cluster: requests as JSON, refusals in words, short outages waited out.

The package `kubernetes` brings the credentials (kubeconfig, exec plugins of the clouds) and the connection; its model classes are not used.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from scripts.environments.credentials import Credentials
from scripts.environments.refusals import WEBHOOKS, ClusterRefusal
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

MANAGER = "pipeline"  # owns the fields it applies; others' are left alone
CONNECT_SECONDS, READ_SECONDS = 5, 30
ABSENT_SECONDS = 60  # how long an API server that has answered may be away: an upgrade of a control plane takes less
FIRST_SECONDS = 3  # how long one that never answered may fail: a wrong address shows soon
UNKNOWN_SECONDS = 5  # how long it may reject our credentials: an authentication webhook may fail once
WATCH_SECONDS = 60  # of one watch; then a new one
STUMBLES = (429, 500, 502, 503, 504)  # faults of the server, not of the request


class Unreachable(Exception):
    """The API server gave no answer, or none about the request; the message says why. `pause`: seconds until the next attempt."""

    def __init__(self, problem: str, pause: float = 0.5):
        super().__init__(problem)
        self.pause = pause


class Unknown(Exception):
    """The API server does not know who asks."""


class UnknownKind(YourTurn):
    """The cluster has no objects of that kind."""


class Api:
    def __init__(self, environment: str, context: str):
        self.environment, self.context = environment, context
        self.credentials = Credentials(environment, context)
        self._answered = self._absent = False
        self._resources: dict[str, dict[str, dict[str, Any]]] = {}

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> dict[str, Any]:
        """The answer to one request. Raises ClusterRefusal, and YourTurn where the cluster does not answer or does not know us."""
        return json.loads(self._patiently(method, path, body, kind, query))

    def find(self, path: str) -> dict[str, Any] | None:
        try:
            return self.request("GET", path)
        except ClusterRefusal as error:
            if error.status == 404:
                return None
            raise

    def text(self, path: str, **query: str) -> str:
        """A container's log; empty where there is none."""
        try:
            return self._patiently("GET", path, None, "", query).decode(errors="replace")
        except ClusterRefusal:
            return ""

    def apply(self, path: str, manifest: dict[str, Any], dry_run: bool = False, force: bool = False) -> dict[str, Any]:
        """Server-side apply: whole or not at all, and the same again changes nothing."""
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        return self.request("PATCH", path, manifest, "application/apply-patch+yaml", **query)

    def delete(self, path: str, body: dict[str, Any]) -> None:
        """Deletes an object. One that is gone is no error: the answer to a first request may have been lost."""
        try:
            self.request("DELETE", path, body)
        except ClusterRefusal as error:
            if error.status != 404:
                raise

    def path(self, api_version: str, kind: str, namespace: str, name: str) -> str:
        """The path of an object; the API server says which resource a kind is. Raises UnknownKind."""
        resource = self._kinds(api_version).get(kind)
        if not resource:
            problem = f"the cluster of {self.environment} knows no {kind} of {api_version}"
            file = f"k8s/overlays/{self.environment}/kustomization.yaml"
            raise UnknownKind(problem, f"install what defines it, or take its component out of {file}, and commit")
        scope = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{_group(api_version)}{scope}/{resource['name']}/{name}".rstrip("/")

    def watch(self, path: str, version: str, **query: str) -> Iterator[dict[str, Any]]:
        """Events of a collection from `version` on, until the server ends it. Raises Unreachable, or ClusterRefusal (410: list again)."""
        query |= {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        response = self._once("GET", path, None, "", query, stream=True)
        try:
            if response.status in (*STUMBLES, 401):  # the list that follows is retried, with renewed credentials
                raise Unreachable(f"HTTP {response.status}")
            if response.status >= 400:
                raise ClusterRefusal(response.status, _status(response.read()))
            yield from map(_whole, _lines(response))
        finally:
            response.close()

    def _kinds(self, api_version: str) -> dict[str, dict[str, Any]]:
        if api_version not in self._resources:
            found = self.find(_group(api_version)) or {"resources": []}
            self._resources[api_version] = {r["kind"]: r for r in found["resources"] if "/" not in r["name"]}
        return self._resources[api_version]

    def _patiently(self, method: str, path: str, body: Any, kind: str, query: dict[str, str]) -> bytes:
        """Retries for a minute once the server has ever answered: every request made here may be made twice."""
        begin, waited = time.monotonic(), False
        while True:
            renewals, pause = self.credentials.renewals, 0.5
            try:
                content = self._attempt(method, path, body, kind, query)
                self._absent = False
                return content
            except Unknown:
                if time.monotonic() - begin > (ABSENT_SECONDS if waited else UNKNOWN_SECONDS):
                    raise self.credentials.refused() from None
                self.credentials.renew(renewals)
            except ClusterRefusal as error:
                # A server that has just come back may not have read its own rules yet.
                if not waited or error.status != 403 or time.monotonic() - begin > ABSENT_SECONDS:
                    raise
            except Unreachable as error:
                self._say_or_raise(begin, str(error))
                waited, pause = True, error.pause
            time.sleep(pause)

    def _attempt(self, method: str, path: str, body: Any, kind: str, query: dict[str, str]) -> bytes:
        response = self._once(method, path, body, kind, query)
        self._answered = True
        if response.status in STUMBLES:
            raise Unreachable(str(_status(response.data).get("message") or f"HTTP {response.status}"), _pause(response))
        # Where anonymous requests are allowed, a request with a rejected certificate counts as anonymous.
        if response.status == 401 or (response.status == 403 and b"system:anonymous" in response.data):
            raise Unknown
        if response.status >= 400:
            raise ClusterRefusal(response.status, _status(response.data))
        if kind or "json" in response.headers.get("Content-Type", ""):  # without a kind a text is asked for
            _whole(response.data)
        return response.data

    def _say_or_raise(self, begin: float, problem: str) -> None:
        if time.monotonic() - begin > (ABSENT_SECONDS if self._answered else FIRST_SECONDS):
            raise self._no_answer(problem)
        if not self._absent:
            console.say(f"  waiting    for the API server of {self.environment}: {problem}")
        self._absent = True

    def _once(self, method: str, path: str, body: Any, kind: str, query: dict[str, str], stream: bool = False):
        import urllib3

        headers = {"Accept": "application/json, */*", "User-Agent": MANAGER} | self.credentials.header()
        headers |= {"Content-Type": kind} if body is not None else {}
        data = None if body is None else json.dumps(body)
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=WATCH_SECONDS + 15 if stream else READ_SECONDS)
        address = f"{self.credentials.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        options = {"headers": headers, "timeout": timeout, "retries": False, "preload_content": not stream}
        try:
            return self.credentials.pool.request(method, address, body=data, **options)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(_why(error)) from None

    def _no_answer(self, problem: str) -> YourTurn:
        check = f"kubectl{f' --context {self.context}' if self.context else ''} get --raw /readyz"
        where = f"the cluster of {self.environment} at {self.credentials.configuration.host}"
        if "webhook" in problem:
            return YourTurn(f"{where} takes no change: {problem}", WEBHOOKS)
        return YourTurn(f"{where} does not answer: {problem}", f"{check}; when it answers, the same command again")


def _pause(response) -> float:
    """Seconds until the next attempt; the server may ask for more than the usual."""
    wish = response.headers.get("Retry-After", "")
    return min(float(wish), 10) if wish.isdigit() and wish != "0" else 0.5


def _status(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace")[:200]}
    return document if isinstance(document, dict) else {}


def _whole(data: bytes) -> dict[str, Any]:
    try:
        return json.loads(data)
    except ValueError:
        raise Unreachable("its answer was cut off") from None


def _lines(response) -> Iterator[bytes]:
    """The lines of a stream, each as soon as it is complete."""
    import urllib3

    rest = b""
    try:
        for chunk in response.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(_why(error)) from None


def _group(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _why(error: Exception) -> str:
    """The innermost message: urllib3 wraps it three times."""
    text = " ".join(str(error).split())
    if "RemoteDisconnected" in text or "IncompleteRead" in text:
        return "it has cut the connection"
    found = re.search(r"(certificate verify failed: [^(\]]+|\[Errno -?\d+\] [^)'\"]+|timed out)", text)
    return re.sub(r"^\[Errno -?\d+\] ", "", found[1]).strip() if found else text
