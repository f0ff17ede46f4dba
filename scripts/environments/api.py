"""The API server of one cluster: requests as JSON, its refusals in words, its short absences waited out.

`kubernetes` brings the credentials (kubeconfig, exec plugins of the clouds) and the connection; its model classes are not used.
"""

import base64
import datetime
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.environments.delivery import NotApplied
from scripts.workspace import console
from scripts.workspace.errors import YourTurn

MANAGER = "pipeline"  # owns the fields it applies; others' are left alone
CONNECT_SECONDS, READ_SECONDS = 5, 30
ABSENT_SECONDS = 60  # how long an API server that has answered may be away: an upgrade of a control plane takes less
WATCH_SECONDS = 60  # of one watch; then a new one


class ClusterRefusal(Exception):
    """The API server said no: `status` is HTTP's, `document` its Status."""

    def __init__(self, status: int, document: dict[str, Any]):
        super().__init__(document.get("message") or f"HTTP {status}")
        self.status, self.document = status, document

    @property
    def causes(self) -> list[dict[str, str]]:
        return (self.document.get("details") or {}).get("causes") or []


class Unreachable(Exception):
    """No answer at all; the message says why."""


class Api:
    def __init__(self, environment: str, context: str):
        import kubernetes.config  # 0.8 s, and most verbs ask no cluster
        from kubernetes.client import ApiClient

        self.environment, self.context = environment, context
        try:
            client: ApiClient = kubernetes.config.new_client_from_config(context=context or None)
        except kubernetes.config.ConfigException as error:
            raise NotApplied(
                f"no usable kubeconfig for {environment}: {error}", "kubectl config get-contexts"
            ) from None
        self._configuration, self._pool = client.configuration, client.rest_client.pool_manager
        self._answered = self._absent = False
        self._resources: dict[str, dict[str, dict[str, Any]]] = {}

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> dict[str, Any]:
        """The answer to one request. Raises ClusterRefusal, and YourTurn where the cluster does not answer or does not know us."""
        response = self._patiently(method, path, body, kind, query)
        document = _json(response.data)
        # Where anonymous requests are allowed, a certificate that is not accepted makes one of them.
        anonymous = response.status == 403 and 'User "system:anonymous"' in str(document.get("message"))
        if response.status == 401 or anonymous:
            raise self._unknown_to_cluster()
        if response.status >= 400:
            raise ClusterRefusal(response.status, document)
        return document

    def find(self, path: str) -> dict[str, Any] | None:
        try:
            return self.request("GET", path)
        except ClusterRefusal as error:
            if error.status == 404:
                return None
            raise

    def text(self, path: str, **query: str) -> str:
        """A container's log; empty where there is none."""
        return self._patiently("GET", path, None, "", query).data.decode(errors="replace")

    def apply(self, path: str, manifest: dict[str, Any], dry_run: bool = False, force: bool = False) -> dict[str, Any]:
        """Server-side apply: whole or not at all, and the same again changes nothing."""
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        return self.request("PATCH", path, manifest, "application/apply-patch+yaml", **query)

    def path(self, api_version: str, kind: str, namespace: str, name: str) -> str:
        """Of an object; asks the API server which resource a kind is. Raises YourTurn where it knows no such kind."""
        resource = self._kinds(api_version).get(kind)
        if not resource:
            problem = f"the cluster of {self.environment} knows no {kind} of {api_version}"
            raise NotApplied(problem, "install what defines it, or take its component out of the overlay")
        scope = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{_group(api_version)}{scope}/{resource['name']}/{name}"

    def watch(self, path: str, version: str, **query: str) -> Iterator[dict[str, Any]]:
        """Events of a collection from `version` on, until the server ends it. Raises Unreachable, or ClusterRefusal (410: list again)."""
        query |= {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        response = self._once("GET", path, None, "", query, stream=True)
        try:
            if response.status >= 400:
                raise ClusterRefusal(response.status, _json(response.read()))
            yield from (json.loads(line) for line in _lines(response))
        finally:
            response.close()

    def _kinds(self, api_version: str) -> dict[str, dict[str, Any]]:
        if api_version not in self._resources:
            found = self.find(_group(api_version)) or {"resources": []}
            self._resources[api_version] = {r["kind"]: r for r in found["resources"] if "/" not in r["name"]}
        return self._resources[api_version]

    def _patiently(self, method: str, path: str, body: Any, kind: str, query: dict[str, str]):
        """Once the server has answered, it is given a minute to come back: every request made here may be made twice."""
        deadline, waited = time.monotonic() + ABSENT_SECONDS, False
        while True:
            try:
                response = self._once(method, path, body, kind, query)
                # A server that has just come back may not have read its own rules yet.
                if response.status not in (429, 500, 502, 503, 504) and not (waited and response.status in (401, 403)):
                    self._answered, self._absent = True, False
                    return response
                problem = str(_json(response.data).get("message") or f"HTTP {response.status}")
            except Unreachable as error:
                problem = str(error)
            if not self._answered or time.monotonic() > deadline:
                raise self._no_answer(problem)
            if not self._absent:
                console.say(f"  waiting    for the API server of {self.environment}: {problem}")
            waited = self._absent = True
            time.sleep(0.5)

    def _once(self, method: str, path: str, body: Any, kind: str, query: dict[str, str], stream: bool = False):
        import urllib3

        headers = {"Accept": "application/json, */*", "User-Agent": MANAGER} | (
            {"Content-Type": kind} if body is not None else {}
        )
        if token := self._configuration.get_api_key_with_prefix("BearerToken", "authorization"):
            headers["Authorization"] = token
        data = None if body is None else json.dumps(body)
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=WATCH_SECONDS + 15 if stream else READ_SECONDS)
        address = f"{self._configuration.host}{path}" + (f"?{_encode(query)}" if query else "")
        try:
            return self._pool.request(
                method, address, body=data, headers=headers, timeout=timeout, retries=False, preload_content=not stream
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(_why(error)) from None

    def _no_answer(self, problem: str) -> YourTurn:
        check = f"kubectl{f' --context {self.context}' if self.context else ''} get --raw /readyz"
        return NotApplied(
            f"the cluster of {self.environment} at {self._configuration.host} does not answer: {problem}", check
        )

    def _unknown_to_cluster(self) -> YourTurn:
        problem = f"the cluster of {self.environment} does not accept these credentials{self._expiry()}"
        return NotApplied(
            problem, "renew the credentials in the kubeconfig (kubectl config view), then the same command again"
        )

    def _expiry(self) -> str:
        """When they ended, where they say so: a client certificate or a token."""
        if self._configuration.cert_file:
            seconds, what = _expiry_of_certificate(self._configuration.cert_file), "the certificate"
        else:
            seconds, what = _expiry_of_token(self._configuration.api_key.get("BearerToken", "")), "the token"
        if not seconds or seconds > time.time():
            return ": it knows no such user"
        return f": {what} expired on {time.strftime('%Y-%m-%d %H:%M', time.gmtime(seconds))} UTC"


def explain(error: ClusterRefusal, what: str, environment: str) -> YourTurn:
    """A refusal of `what` (an object, or an errand) in words, with what to do."""
    text = str(error)
    if error.status == 409 and error.causes:
        owners = [f"{_owner(c['message'])} owns {c['field']}" for c in error.causes]
        remedy = f"take the field out of {environment}'s overlay, or stop the other from setting it"
        return NotApplied(f"{what}: {'; '.join(owners)}", remedy)
    if error.status == 404 and (found := re.search(r'namespaces "(.+?)" not found', text)):
        return NotApplied(
            f"the cluster of {environment} has no namespace {found[1]}",
            "an administrator: kubectl apply -k k8s/admission",
        )
    if error.status == 403 and (found := re.search(r'cannot (\w+) resource "(.+?)" in API group "(.*?)"', text)):
        rule = f"{{apiGroups: [{found[3] or chr(34) * 2}], resources: [{found[2]}], verbs: [{found[1]}]}}"
        return NotApplied(
            f"{what}: {text}", f"the missing rule is {rule}: k8s/admission/deployer.yaml, applied by an administrator"
        )
    return YourTurn(f"{what} is refused: {_tidy(text)}", "edit k8s/, commit, and try again")


def _tidy(text: str) -> str:
    return re.sub(r"^\S+ \"\S+\" is (forbidden|invalid): ", "", " ".join(text.split()))


def _owner(message: str) -> str:
    found = re.search(r'conflict with "(.+?)"', message)
    return found[1] if found else message


def _group(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _encode(query: dict[str, str]) -> str:
    from urllib.parse import urlencode

    return urlencode(query)


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace")[:200]}
    return document if isinstance(document, dict) else {}


def _lines(response) -> Iterator[bytes]:
    """Of a stream, each as soon as it is whole."""
    import urllib3

    rest = b""
    try:
        for chunk in response.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(_why(error)) from None


def _why(error: Exception) -> str:
    """The innermost words: urllib3 wraps them thrice."""
    text = " ".join(str(error).split())
    found = re.search(r"(certificate verify failed: [^(\]]+|\[Errno -?\d+\] [^)'\"]+|timed out)", text)
    return re.sub(r"^\[Errno -?\d+\] ", "", found[1]).strip() if found else text


def _expiry_of_certificate(file: str) -> float | None:
    """Its `notAfter`: RFC 5280 writes a validity as a sequence of two times, of two or four digits for the year."""
    import ssl

    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", Path(file).read_text(), re.DOTALL)
    der = ssl.PEM_cert_to_DER_cert(pem[0]) if pem else b""
    found = re.search(rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d|\x18\x0f)(\d{12,14})Z", der, re.DOTALL)
    if not found:
        return None
    text = found[1].decode()
    century = "" if len(text) == 14 else "19" if text >= "5" else "20"
    return datetime.datetime.strptime(f"{century}{text} +0000", "%Y%m%d%H%M%S %z").timestamp()


def _expiry_of_token(token: str) -> float | None:
    """The `exp` of a JSON Web Token; None of any other."""
    try:
        payload = token.removeprefix("Bearer ").split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
