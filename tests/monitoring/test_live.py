"""A real Prometheus and a real Alertmanager beside the embedded server under load: every expression answers, every bad release is told."""

import contextlib
import copy
import http.server
import itertools
import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ruamel.yaml import YAML

from tests.serving.conftest import library  # noqa: F401  (a fixture)
from tests.serving.process import ROOT, ModelServer, wait_until
from tests.support.ports import free_ports
from tests.test_promote import NAME

from .conftest import ALERTMANAGER, write

COMPONENT = ROOT / "k8s/components/monitoring"
HERE = "serving-dev"
MODELS = {"affine": [[1.0]], "slow": [5.0], "broken": [[1.0]]}  # and a request of each
# What the kubelet and kube-state-metrics write, which this Prometheus can ask no cluster for.
KUBELET = f"""\
container_memory_working_set_bytes{{namespace="{HERE}",pod="serving-a",container="serving"}} 1.2e+08
container_spec_memory_limit_bytes{{namespace="{HERE}",pod="serving-a",container="serving"}} 1.073741824e+09
kube_pod_container_resource_limits{{namespace="{HERE}",pod="serving-a",container="serving",resource="memory"}} 1.073741824e+09
kube_pod_container_status_restarts_total{{namespace="{HERE}",pod="serving-a",container="serving"}} 0
"""


class Neighbours:
    """A page of the kubelet's, and the receiver of alerts."""

    def __init__(self) -> None:
        received: queue.Queue[dict[str, Any]] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(KUBELET.encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                for alert in body["alerts"]:
                    received.put(alert["labels"])

            def log_message(self, *arguments: object) -> None:
                pass

        self.received, self.seen = received, []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alert(self, **labels: str) -> dict[str, str]:
        """The first alert received that has those labels: now, or when it comes."""
        while True:
            for alert in self.seen:
                if labels.items() <= alert.items():
                    return alert
            self.seen.append(self.received.get(timeout=90))

    def forget(self) -> None:
        """What was received until now."""
        self.seen.clear()
        while not self.received.empty():
            self.received.get()


class Prometheus:
    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, expression: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/api/v1/query", {"query": expression}, timeout=30).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return answer["data"]["result"]


@pytest.fixture(scope="module")
def server(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:  # noqa: F811
    folder = tmp_path_factory.mktemp("server")
    entries = [f'config {{ name: "{m}" base_path: "{library / m}" model_platform: "tensorflow" }}' for m in MODELS]
    (folder / "models").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    flags = [
        f"--model_config_file={folder / 'models'}",
        f"--monitoring_config_file={ROOT / 'serving/monitoring.config'}",
        "--enable_batching",
    ]
    with ModelServer(*flags, log=folder / "log") as server:
        yield server


@pytest.fixture(scope="module")
def load(server: ModelServer) -> Iterator[None]:
    """Every model is asked for as long as the test lasts, by a client each that waits for its answer; some requests are wrong."""
    done = threading.Event()

    def client(model: str, instances: list) -> None:
        session, url = requests.Session(), f"http://127.0.0.1:{server.rest_port}/v1/models/{model}:predict"
        for number in itertools.count():
            if done.wait(0.02):
                return
            body = {"instances": instances if number % 10 else "none"}
            with contextlib.suppress(requests.ConnectionError):  # the server is stopped in the end
                session.post(url, json=body, timeout=30)

    threads = [threading.Thread(target=client, args=item) for item in MODELS.items()]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def neighbours() -> Iterator[Neighbours]:
    neighbours = Neighbours()
    yield neighbours
    neighbours.server.shutdown()
    neighbours.server.server_close()


@pytest.fixture(scope="module")
def prometheus(
    programs: None,
    rules: dict[str, Any],
    server: ModelServer,
    load: None,
    neighbours: Neighbours,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """It asks each second, and waits three in the place of the minutes of the alerts' `for`; the rest is what a fork has."""
    folder = tmp_path_factory.mktemp("prometheus")
    own, manager = free_ports()
    rules = copy.deepcopy(rules)
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
        rule["for"] = "3s"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(write(folder / "rules.yaml", rules))],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]},
        "scrape_configs": [found_as_in_a_cluster(server.rest_port), kubelet(neighbours.port)],
    }
    hook = {"name": "hook", "webhook_configs": [{"url": f"http://127.0.0.1:{neighbours.port}/"}]}
    route = {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    alertmanager = [
        *(ALERTMANAGER, f"--config.file={write(folder / 'alertmanager.yaml', {'receivers': [hook], 'route': route})}"),
        *(f"--storage.path={folder / 'alerts'}", f"--web.listen-address=127.0.0.1:{manager}"),
        "--cluster.listen-address=",
    ]
    command = [
        *("prometheus", f"--config.file={write(folder / 'prometheus.yaml', config)}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{own}"),
        "--rules.alert.resend-delay=1s",  # what fires before it has found its Alertmanager is lost till then
    ]
    with running(alertmanager, manager, folder), running(command, own, folder):
        yield Prometheus(own)


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A program of Prometheus', ready by its own word."""
    path = folder / f"{command[0]}.log"

    def is_ready() -> bool:
        assert process.poll() is None, path.read_text()
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{port}/-/ready", timeout=5).ok
        return False

    with path.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(is_ready, 60, f"ready: {path}")
            yield
        finally:
            process.terminate()


def found_as_in_a_cluster(port: int) -> dict[str, Any]:
    """The job for annotated pods, given what the discovery of a cluster would give it: Debian's Prometheus is built without that."""
    (job,) = YAML(typ="safe").load((COMPONENT / "annotations/scrape.yaml").read_text())["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (patch,) = YAML(typ="safe").load_all((COMPONENT / "annotations/annotations.yaml").read_text())
    annotations = patch["spec"]["template"]["metadata"]["annotations"]
    labels = {
        **{f"annotation_{key.replace('.', '_').replace('/', '_')}": value for key, value in annotations.items()},
        "container_port_name": "rest",
    }
    # The second has another image than the ledger says, and the name of Flagger's copy.
    pods = [("serving-a", "1", "serving"), ("serving-b", "2", "serving-primary")]
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {
                "__meta_kubernetes_namespace": HERE,
                "__meta_kubernetes_pod_name": pod,
                "__meta_kubernetes_pod_container_image": f"{NAME}@sha256:{digit * 64}",
                "__meta_kubernetes_pod_label_app_kubernetes_io_name": name,
                **{f"__meta_kubernetes_pod_{key}": value for key, value in labels.items()},
            },
        }
        for pod, digit, name in pods
    ]
    grpc = {
        "targets": ["127.0.0.1:1"],
        "labels": targets[0]["labels"] | {"__meta_kubernetes_pod_container_port_name": "grpc"},
    }
    return job | {"static_configs": [*targets, grpc]}


def kubelet(port: int) -> dict[str, Any]:
    return {"job_name": "kubelet", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def test_a_slow_release_and_one_with_errors_are_told(prometheus: Prometheus, neighbours: Neighbours) -> None:
    slow = neighbours.alert(alertname="ServingBudgetBurns", model_name="slow")
    broken = neighbours.alert(alertname="ServingBudgetBurns", model_name="broken")
    assert slow | {"objective": "latency", "severity": "page", "namespace": HERE} == slow
    assert broken | {"objective": "availability", "severity": "page", "namespace": HERE} == broken
    wrong = neighbours.alert(alertname="ServingWrongRelease")
    assert wrong["image"] == f"{NAME}@sha256:{'2' * 64}"
    firing = prometheus.ask('ALERTS{alertname=~"ServingBudgetBurns.*", model_name="affine"}')
    assert firing == [], "the good one beside them"


def test_every_expression_is_answered(prometheus: Prometheus, rules: dict[str, Any], neighbours: Neighbours) -> None:
    neighbours.alert(alertname="ServingRefusesMore")  # by now everything was asked for more than once
    records = [rule for group in rules["groups"] for rule in group["rules"] if "record" in rule]
    silent = [
        rule["record"] for rule in records if not prometheus.ask(rule["expr"]) or not prometheus.ask(rule["record"])
    ]
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    silent += [expression for expression in map(filled, panels) if not prometheus.ask(expression)]
    assert silent == []


def test_every_series_that_an_alert_reads_is_there(prometheus: Prometheus, rules: dict[str, Any]) -> None:
    """An alert that is silent has no answer; each series in it has."""
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    marks = [filled(annotation["expr"]) for annotation in dashboard()["annotations"]["list"]]
    for expression in [*alerts, *marks]:
        prometheus.ask(expression)
        found = re.findall(r"(?<![\w:])(?:(?:serving)?:[\w:]+|up|kube_\w+|container_\w+)(?:\{[^}]*\})?", expression)
        assert found, expression
        assert [selector for selector in found if not prometheus.ask(selector)] == []


def test_the_names_in_the_variables_of_the_dashboard(prometheus: Prometheus) -> None:
    query = dashboard()["templating"]["list"][1]["definition"]
    name, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
    assert {result["metric"][label] for result in prometheus.ask(name)} == {
        "serving-dev",
        "serving-staging",
        "serving-production",
    }


def test_one_that_is_down_is_told(prometheus: Prometheus, server: ModelServer, neighbours: Neighbours) -> None:
    neighbours.alert(alertname="ServingDown", namespace="serving-production")  # which has no pods at all
    assert prometheus.ask(f'ALERTS{{alertname="ServingDown", namespace="{HERE}"}}') == []
    neighbours.forget()
    server.process.kill()
    assert neighbours.alert(alertname="ServingDown", namespace=HERE)["severity"] == "page"


def dashboard() -> dict[str, Any]:
    return json.loads((COMPONENT / "dashboard.json").read_text())


def filled(expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$environment", HERE).replace("$__rate_interval", "15s")
