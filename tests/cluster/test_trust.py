"""What `cluster trust` of each provider lets a workflow do on a real Kubernetes: deploy into its environment's namespace, nothing else.

The real aws asks a local AWS (moto), the real gcloud reads its command lines where it is there; az is a stand-in that only answers.
"""

import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support import aws
from tests.support.fork import ROOT

from .conftest import Cluster

CLUSTERS = ROOT / "k8s/clusters"
SUBJECT = "repo:Octo-Org@5544123/Digits@821093847:environment:dev"
ISSUER = "token.actions.githubusercontent.com"
NUMBER = "110000000000000000001"
SERVICE_ACCOUNT = "serving-dev@a-project.iam.gserviceaccount.com"
PRINCIPAL = "0f0f0f0f-0000-4000-8000-000000000001"
AZ = f"""\
#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
*principalId*) echo {PRINCIPAL} ;;
*clientId*) echo a-client ;;
*tenantId*) echo a-tenant ;;
"account show --query id"*) echo a-subscription ;;
"aks show"*) echo /subscriptions/a-subscription/serving ;;
esac
"""
# gcloud without an account refuses only after it has read the command line: a typo in an option shows, the rest is answered here.
GCLOUD = f"""\
#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
*projectNumber*) echo 1234 ;;
*uniqueId*) echo {NUMBER} ;;
*" describe "*) exit 1 ;;
esac
[ -z "$REAL" ] && exit
words=$("$REAL" "$@" 2>&1 >&2) && exit 1
case "$words" in *"active account"*) exit 0 ;; *) echo "$words" >&2; exit 2 ;; esac
"""


def stand_in(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@contextmanager
def serving(handle: Any) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A server on this computer that answers with the document that `handle` makes of a request; yields its URL, and what it was asked."""
    asked: list[tuple[str, str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, urllib.parse.unquote(self.path), json.loads(body) if body else None))
            content = json.dumps(handle(self)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def trust(cluster: Cluster, provider: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)} | environment
    command = [CLUSTERS / provider / "cluster", "trust", "dev", SUBJECT]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def see_that_it_is_a_deployer(cluster: Cluster, *who: str) -> None:
    """The rights of the deployer whom k8s/admission makes, which test_rights.py tries; elsewhere those of anybody."""

    def rights(namespace: str, *who: str) -> list[list[str]]:
        listed = cluster.kubectl("auth", "can-i", "--list", "--no-headers", f"--namespace={namespace}", *who)
        return sorted(line.split() for line in listed.splitlines() if not line.startswith(" "))  # those of resources

    assert rights("serving-dev", *who) == rights("serving-dev", "--as=system:serviceaccount:serving-dev:deployer")
    assert rights("serving-staging", *who) == rights("serving-staging", "--as=anybody")


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with aws.running(tmp_path_factory.mktemp("aws")) as environment:
        yield environment


def test_eks(cluster: Cluster, admission: None, local_aws: dict[str, str]) -> None:
    role = f"arn:aws:iam::{aws.ACCOUNT}:role/serving-dev"
    with serving(lambda request: {"accessEntry": {"principalArn": role}}) as (url, asked):
        environment = local_aws | {"AWS_ENDPOINT_URL_EKS": url}
        first = trust(cluster, "eks", environment)
        second = trust(cluster, "eks", environment)  # puts right, and fails at nothing that is there
    assert asked[0] == (
        "POST",
        "/clusters/serving/access-entries",
        asked[0][2] | {"principalArn": role, "kubernetesGroups": ["deployers-dev"]},
    )
    assert first.stdout.splitlines()[-4:] == [
        "gh variable set --env dev CLUSTER --body eks",
        "gh variable set --env dev CLUSTER_NAME --body serving",
        "gh variable set --env dev CLUSTER_REGION --body eu-central-1",
        f"gh variable set --env dev AWS_ROLE --body {role}",
    ]
    assert second.stdout.splitlines()[-4:] == first.stdout.splitlines()[-4:]
    see_that_it_is_a_deployer(cluster, "--as=a-session", "--as-group=deployers-dev")
    found = iam(local_aws, "get-role", "--role-name", "serving-dev")["Role"]["AssumeRolePolicyDocument"]
    (statement,) = found["Statement"]
    assert statement["Condition"] == {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": SUBJECT}}
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::{aws.ACCOUNT}:oidc-provider/{ISSUER}"}
    provider = iam(
        local_aws, "get-open-id-connect-provider", "--open-id-connect-provider-arn", *statement["Principal"].values()
    )
    assert provider["ClientIDList"] == ["sts.amazonaws.com"]
    (policy,) = iam(local_aws, "list-role-policies", "--role-name", "serving-dev")["PolicyNames"]
    document = iam(local_aws, "get-role-policy", "--role-name", "serving-dev", "--policy-name", policy)[
        "PolicyDocument"
    ]
    assert [s["Action"] for s in document["Statement"]] == ["eks:DescribeCluster"]


def iam(environment: dict[str, str], *arguments: str) -> Any:
    command = ["aws", "iam", *arguments, "--output", "json"]
    return json.loads(subprocess.run(command, env=os.environ | environment, capture_output=True, check=True).stdout)


def test_gke(cluster: Cluster, admission: None, programs: dict[str, str], tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "gcloud", GCLOUD)
    real = {"REAL": shutil.which("gcloud") or "", "CLOUDSDK_CONFIG": str(tmp_path / "config")}
    done = trust(cluster, "gke", programs | real | {"GCP_PROJECT": "a-project"})
    calls = (tmp_path / "calls").read_text()
    assert f"--attribute-condition assertion.sub == '{SUBJECT}'" in calls
    assert (
        f"--member principal://iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/github/subject/{SUBJECT}"
        in calls
    )
    pool = "projects/1234/locations/global/workloadIdentityPools/github"
    assert (
        f"gh variable set --env dev GCP_WORKLOAD_IDENTITY_PROVIDER --body {pool}/providers/serving-dev" in done.stdout
    )
    assert f"gh variable set --env dev GCP_SERVICE_ACCOUNT --body {SERVICE_ACCOUNT}" in done.stdout
    for user in (SERVICE_ACCOUNT, NUMBER):
        see_that_it_is_a_deployer(cluster, f"--as={user}")


def test_aks(cluster: Cluster, admission: None, programs: dict[str, str], tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "az", AZ)
    done = trust(cluster, "aks", programs)
    assert (
        f"--subject {SUBJECT} --issuer https://{ISSUER} --audiences api://AzureADTokenExchange"
        in (tmp_path / "calls").read_text()
    )
    for name, value in (("CLIENT_ID", "a-client"), ("TENANT_ID", "a-tenant"), ("SUBSCRIPTION_ID", "a-subscription")):
        assert f"gh variable set --env dev AZURE_{name} --body {value}\n" in done.stdout
    see_that_it_is_a_deployer(cluster, f"--as={PRINCIPAL}")


def test_kops_and_a_kubeconfig_without_a_credential(cluster: Cluster, admission: None, tmp_path: Path) -> None:
    """The runner's token endpoint is a stand-in that hands out a token which this API server knows; kubectl gets it as a job would."""
    printed = trust(cluster, "kops", {"KOPS_STATE_STORE": "s3://x"}).stdout
    see_that_it_is_a_deployer(cluster, f"--as=github:{SUBJECT}")
    document = YAML(typ="safe").load(printed)
    assert set(document["users"][0]["user"]) == {"exec"}
    (tmp_path / "kubeconfig").write_text(printed)
    token = cluster.kubectl("create", "token", "deployer", "--namespace=serving-dev").strip()

    def answer(request: http.server.BaseHTTPRequestHandler) -> dict[str, Any]:
        right = request.headers["Authorization"] == "bearer of-the-job" and request.path.endswith(
            "&audience=kubernetes"
        )
        return {"count": 1, "value": token} if right else {"message": "no"}

    with serving(answer) as (url, _):
        variables = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job", "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/token?v=1"}
        command = ["kubectl", f"--kubeconfig={tmp_path / 'kubeconfig'}", "auth", "whoami", "--output=json"]
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
        without = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"]["userInfo"]["username"] == "system:serviceaccount:serving-dev:deployer"
    assert without.returncode != 0
