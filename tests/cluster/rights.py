"""What an identity may do on a real API server: every verb of every resource, tried as that identity.

What would change something is a dry run, on objects that are there: admission policies have their say too.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.config

METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}
METHODS |= {"delete": "DELETE", "deletecollection": "DELETE"}
OF_COLLECTIONS = ("list", "watch", "create", "deletecollection")
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
Document = dict[str, Any]
CONNECTED = ("portforward", "exec", "attach", "proxy")  # without a dry run: the pod that is tried does not exist


@dataclass(frozen=True)
class Resource:
    """`name` has its subresource in it, as in a role: pods/log."""

    group: str
    version: str
    name: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]

    def path(self, verb: str, place: str) -> str:
        name, slash, sub = self.name.partition("/")
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        collection = f"{root}{f'/namespaces/{place}' * self.namespaced}/{name}"
        return f"{collection}/{self.named(place)}{slash}{sub}" if slash or verb not in OF_COLLECTIONS else collection

    def named(self, place: str) -> str:
        """The object that is tried."""
        return place if self.name == "namespaces" else "serving"


Refusals = dict[Resource, dict[str, str]]  # of each verb, by "RBAC", the name of a policy, or nobody: ""


class Server:
    """An API server, asked by its administrator in the name of others. `examples`: a whole object of each kind that they may change."""

    def __init__(self, kubeconfig: Path, examples: dict[str, Document]):
        client = kubernetes.config.new_client_from_config(str(kubeconfig))
        self.host, self.pool, self.examples = client.configuration.host, client.rest_client.pool_manager, examples
        token = client.configuration.get_api_key_with_prefix("BearerToken", "authorization")
        self.own = {"Authorization": token} if token else {}

    def refusals(self, who: str, place: str, resources: list[Resource]) -> Refusals:
        """Who refuses what to `who` in the namespace `place`, and in what has no namespace."""

        def each(resource: Resource) -> tuple[Resource, dict[str, str]]:
            return resource, {verb: self._refusal(who, verb, resource, place) for verb in resource.verbs}

        with ThreadPoolExecutor(max_workers=4) as pool:
            return dict(pool.map(each, resources))

    def resources(self) -> Iterator[Resource]:
        """All that it has, in the version that it prefers."""
        for root in ("/api", "/apis"):
            for group in self._ask("GET", root, Accept=DISCOVERY)[1]["items"]:
                newest = group["versions"][0]
                of = (group["metadata"].get("name", ""), newest["version"])
                for found in newest["resources"]:
                    name, namespaced = found["resource"], found["scope"] == "Namespaced"
                    yield Resource(*of, name, found["responseKind"]["kind"], namespaced, tuple(found["verbs"]))
                    for sub in found.get("subresources", []):
                        yield Resource(*of, f"{name}/{sub['subresource']}", "", namespaced, tuple(sub["verbs"]))

    def _refusal(self, who: str, verb: str, resource: Resource, place: str) -> str:
        method, kind = METHODS[verb], f"application/{'apply-patch+yaml' if verb == 'patch' else 'json'}"
        body = self._body(verb, resource, place) if method in ("POST", "PUT", "PATCH") else None
        path = f"{resource.path(verb, place)}?{_query(verb, resource)}"
        status, answer = self._ask(method, path, body, **{"Impersonate-User": who, "Content-Type": kind})
        message = answer.get("message", "")
        if status == 403 and f'cannot {verb} resource "{resource.name}"' in message:
            return "RBAC"
        if policy := re.search(r"ValidatingAdmissionPolicy '([\w-]+)'", message):
            return policy[1]
        # An object that is wrong or not there would be refused before a policy sees it.
        unseen = (status >= 300 and method != "GET" and resource.kind in self.examples) or "dryRun" in message
        assert not unseen and status not in (401, 403) and status < 500, (who, verb, resource, status, message)
        return ""

    def _body(self, verb: str, resource: Resource, place: str) -> Document:
        if verb == "update" and resource.kind in self.examples:  # only the version that is there
            return self._ask("GET", resource.path("get", place))[1]
        return self.example(resource, resource.named(place) + "-new" * (verb == "create"))

    def example(self, resource: Resource, name: str) -> Document:
        """An object of this name; an empty one of a kind without example."""
        found = self.examples.get(resource.kind, {})
        version = "/".join(filter(None, (resource.group, resource.version)))
        metadata = {"name": name, "labels": found.get("metadata", {}).get("labels", {})}
        return found | {"apiVersion": version, "kind": resource.kind, "metadata": metadata}

    def _ask(self, method: str, path: str, body: Document | None = None, **headers: str) -> tuple[int, Document]:
        data = None if body is None else json.dumps(body)
        answer = self.pool.request(method, self.host + path, body=data, headers=self.own | headers, retries=False)
        first = answer.data.partition(b"\n")[0]  # of a watch, the first event
        return answer.status, json.loads(first) if first[:1] == b"{" else {}


def _query(verb: str, resource: Resource) -> str:
    if verb == "watch":
        return "watch=1&resourceVersion=1&timeoutSeconds=1"  # from a beginning that is gone
    if resource.name.endswith(CONNECTED):
        return ""
    return "dryRun=All" + "&fieldManager=x&force=true" * (verb == "patch")
