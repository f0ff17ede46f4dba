"""What each identity may do: every verb on every resource, asked of the real API server, and written down in docs/security.md.

`WRITE_SAMPLES=1 ./pipeline test tests/cluster/test_rights.py` writes the table.
"""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kubernetes import client, config
from ruamel.yaml import YAML

from tests.support.fork import ROOT

from .conftest import Cluster

VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
MORE = {"roles": ["bind", "escalate"], "clusterroles": ["bind", "escalate"], "serviceaccounts": ["impersonate"]}
EVERYBODY = "system:serviceaccount:default:somebody"
IDENTITIES = {
    "the deployer of dev": "system:serviceaccount:serving-dev:deployer",
    "a previewer": "system:serviceaccount:previews:previewer",
    "a pod that serves": "system:serviceaccount:serving-dev:serving",
}
PLACES = {
    "`serving-dev`": "serving-dev",
    "`serving-staging`": "serving-staging",
    "`kube-system`": "kube-system",
    "the cluster": "",
}
PAGE = ROOT / "docs/security.md"
TABLE = re.compile(r"(?s)(?<=<!-- what each identity may do -->\n).*?(?=<!-- made by tests/cluster/test_rights.py -->)")
Resource = tuple[str, str, bool]  # API group, name with its subresource, whether it is in a namespace
Try = tuple[str, Resource, str]  # place, resource, verb


@pytest.fixture(scope="module")
def api(cluster: Cluster, admission: None) -> client.ApiClient:
    """The administrator's, once the administrator has applied what the documents say."""
    cluster.kubectl("apply", "-k", str(ROOT / "k8s/previews"))
    return config.new_client_from_config(str(cluster.kubeconfig))


def resources(api: client.ApiClient) -> set[Resource]:
    """All that the server has, and what the roles of this repository name, whose kinds may not be installed there."""

    def get(path: str) -> Any:
        return api.call_api(path, "GET", response_type="object", auth_settings=["BearerToken"])[0]

    groups = {
        version["groupVersion"]: group["name"] for group in get("/apis")["groups"] for version in group["versions"]
    }
    lists = {"": get("/api/v1")} | {version: get(f"/apis/{version}") for version in groups}
    found = {
        (groups.get(version, ""), r["name"], r["namespaced"])
        for version, one in lists.items()
        for r in one["resources"]
    }
    names = {(group, name) for group, name, _ in found}
    files = [ROOT / "k8s/admission/deployer.yaml", ROOT / "k8s/previews/previewer.yaml"]
    roles = [
        role for file in files for role in YAML(typ="safe").load_all(file.read_text()) if role["kind"] == "ClusterRole"
    ]
    named = {
        pair
        for role in roles
        for rule in role["rules"]
        for pair in itertools.product(rule["apiGroups"], rule["resources"])
    }
    return found | {(*pair, True) for pair in named - names if pair[0] not in groups.values()}


def allowed(api: client.ApiClient, user: str, tries: Iterable[Try]) -> set[Try]:
    """Those of `tries` that `user` may do."""
    namespace = user.split(":")[2]
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    reviews = client.AuthorizationV1Api(api)

    def may(one: Try) -> bool:
        place, (group, resource, _), verb = one
        name, _, sub = resource.partition("/")
        attributes = client.V1ResourceAttributes(
            group=group, resource=name, subresource=sub, verb=verb, namespace=place
        )
        spec = client.V1SubjectAccessReviewSpec(user=user, groups=groups, resource_attributes=attributes)
        return reviews.create_subject_access_review(client.V1SubjectAccessReview(spec=spec)).status.allowed

    tries = list(tries)
    with ThreadPoolExecutor(8) as pool:
        return {one for one, yes in zip(tries, pool.map(may, tries), strict=True) if yes}


def described(found: set[Try]) -> str:
    """The resources by their verbs: those with the same verbs together."""
    verbs: dict[str, set[str]] = defaultdict(set)
    for _, (group, name, _), verb in found:
        verbs[f"{name}.{group}" if group else name].add(verb)
    together: dict[str, list[str]] = defaultdict(list)
    for name in sorted(verbs):
        together[", ".join(sorted(verbs[name], key=[*VERBS, "bind", "escalate", "impersonate"].index))].append(name)
    return (
        "<br>".join(f"{key}: {', '.join(f'`{name}`' for name in names)}" for key, names in sorted(together.items()))
        or "nothing"
    )


def rows(api: client.ApiClient) -> Iterable[str]:
    known = resources(api)
    everything = [
        (place, resource, verb)
        for place in PLACES.values()
        for resource in known
        if resource[2] == bool(place)
        for verb in [*VERBS, *MORE.get(resource[1], [])]
    ]
    everybody = allowed(api, EVERYBODY, everything)
    yield "| who | where | may |\n|---|---|---|"
    for who, user in IDENTITIES.items():
        found = allowed(api, user, everything) - everybody
        by_place = {
            place: described({one for one in found if one[0] == namespace}) for place, namespace in PLACES.items()
        }
        for text, places in itertools.groupby(by_place.items(), key=lambda pair: pair[1]):
            yield f"| {who} | {', '.join(place for place, _ in places)} | {text} |"
            who = ""
    yield f"| everybody with an account there | anywhere | {described(everybody)} |"


def test_the_table_is_what_the_api_server_says(api: client.ApiClient) -> None:
    table = "\n".join(rows(api)) + "\n"
    if os.environ.get("WRITE_SAMPLES"):
        PAGE.write_text(TABLE.sub(lambda _: table, PAGE.read_text()))
    assert TABLE.findall(PAGE.read_text()) == [table]
