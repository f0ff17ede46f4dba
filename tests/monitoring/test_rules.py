"""Every alert fires when it should and is silent when it should, in promtool's own time; what an overlay promises wrongly is refused."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.ledger import kubectl, objectives
from tests.support.fork import ROOT, Fork
from tests.test_overlays import load
from tests.test_promote import DIGEST, NAME

from .conftest import verb, write

HERE = "serving-production"  # 99.9 % are answered, 99 % of these within 219 ms
OURS, OTHER = f"{NAME}@sha256:{'1' * 64}", f"{NAME}@{DIGEST}"


def series(name: str, **labels: str) -> str:
    pairs = ", ".join(f'{key}="{value}"' for key, value in ({"namespace": HERE} | labels).items())
    return f"{name}{{{pairs}}}"


def answered(status: str, pod: str = "a") -> str:
    return series(":tensorflow:serving:request_count", model_name="m", status=status, pod=pod)


def late(share: float, le: str = "218591") -> dict[str, str]:
    """Of 600 predictions a minute, `share` later than the bound."""
    labels = {"model_name": "m", "API": "predict", "entrypoint": "REST"}
    return {
        series(":tensorflow:serving:request_latency_count", **labels): "0+600x200",
        series(":tensorflow:serving:request_latency_bucket", **labels, le=le): f"0+{round(600 * (1 - share))}x200",
    }


def waits(bound: str) -> dict[str, str]:
    """Every request has waited for its batch at most so many µs, and more than half of that."""
    name = ":tensorflow:serving:batching_session:queuing_latency_bucket"
    return {series(name, le="50000"): "0x60", **{series(name, le=le): "0+60x60" for le in (bound, "+Inf")}}


def up(pod: str, values: str, image: str = OURS) -> dict[str, str]:
    return {series("up", pod=pod, app_kubernetes_io_name="serving", image=image): values}


MEMORY = series("container_memory_working_set_bytes", container="serving", pod="a")
RESTARTS = series("kube_pod_container_status_restarts_total", container="serving", pod="a")
LIMITS = {
    series("kube_pod_container_resource_limits", container="serving", pod="a", resource="memory"): "100x60",
    series("container_spec_memory_limit_bytes", container="serving", pod="a"): "100x60",
}
OK, BAD, REFUSED = answered("OK"), answered("UNAVAILABLE"), answered("INVALID_ARGUMENT")
TRAFFIC = "serving:traffic:rate5m"
DAY, WEEK = 144, 1008  # of ten minutes each, which is how often the alert on traffic is asked here

# What happened, minute by minute; after how many minutes which alert is asked for, and how many of it there should be.
CASES: dict[str, tuple[dict[str, str], int, dict[str, int]]] = {
    "a tenth fails": ({OK: "0+600x30", BAD: "0+60x30"}, 20, {"ServingBudgetBurns": 1}),
    "few fail": ({OK: "0+60000x30", BAD: "0+6x30"}, 20, {"ServingBudgetBurns": 0, "ServingBudgetBurnsSlowly": 0}),
    "five in a thousand fail": (
        {OK: "0+9950x30", BAD: "0+50x30"},
        20,
        {"ServingBudgetBurns": 0, "ServingBudgetBurnsSlowly": 1},
    ),
    "it is over": ({OK: "0+600x60", BAD: "0+60x20 1200x40"}, 58, {"ServingBudgetBurns": 0}),
    "clients err": ({OK: "0+600x30", REFUSED: "0+60x30"}, 20, {"ServingBudgetBurns": 0}),
    "a third is late": (late(0.33), 20, {"ServingBudgetBurns": 1}),
    "a third is late, as Prometheus 3 writes it": (late(0.33, "218591.0"), 20, {"ServingBudgetBurns": 1}),
    "few are late": (late(0.005), 20, {"ServingBudgetBurns": 0, "ServingBudgetBurnsSlowly": 0}),
    "none is late, as Prometheus 3 writes it": (late(0, "218591.0"), 20, {"ServingBudgetBurns": 0}),
    "no pod": ({}, 5, {"ServingDown": 1}),
    "no pod answers": (up("a", "0x20"), 5, {"ServingDown": 1}),
    "one of two pods answers": (up("a", "1x20") | up("b", "0x20"), 15, {"ServingDown": 0, "ServingPodDown": 1}),
    "a pod that starts": (up("a", "1x20") | up("b", "0x5 1x15"), 4, {"ServingPodDown": 0}),
    "a restart": ({RESTARTS: "0x10 1x50"}, 20, {"ServingRestarts": 1}),
    "a restart that only the counters show": ({OK: "0+60x10 0+60x50"}, 20, {"ServingRestarts": 1}),
    "no restart": ({RESTARTS: "1x60", OK: "0+60x60"}, 20, {"ServingRestarts": 0}),
    "another release for long": (up("a", "1x60") | up("b", "1x60", OTHER), 20, {"ServingWrongRelease": 1}),
    "another release during a rollout": (
        up("a", "1x60") | up("b", "1x10 _x50", OTHER),
        8,
        {"ServingWrongRelease": 0},
    ),
    "more is refused": ({OK: "0+60x60", REFUSED: "0x20 0+60x40"}, 55, {"ServingRefusesMore": 1}),
    "as much is refused as ever": ({OK: "0+60x90", REFUSED: "0+60x90"}, 85, {"ServingRefusesMore": 0}),
    "memory is near its limit": ({MEMORY: "95x60"} | LIMITS, 15, {"ServingMemoryNearLimit": 1}),
    "memory, without kube-state-metrics": (
        {MEMORY: "95x60"} | dict([list(LIMITS.items())[1]]),
        15,
        {"ServingMemoryNearLimit": 1},
    ),
    "memory is far from its limit": ({MEMORY: "50x60"} | LIMITS, 15, {"ServingMemoryNearLimit": 0}),
    "batches wait": (waits("1e+06"), 15, {"ServingBatchQueueFills": 1}),
    "batches wait a little": (waits("60000"), 15, {"ServingBatchQueueFills": 0}),
}
QUIET = {
    "no request, and some yesterday": (f"1x{DAY} 0x{DAY}", DAY + 6, 1),
    "requests as yesterday": (f"1x{2 * DAY}", DAY + 6, 0),
    "none yesterday either": (f"0x{2 * DAY}", DAY + 6, 0),
    "quiet at this hour of the week": (f"1x{DAY - 20} 0x{WEEK - 2 * DAY + 40} 1x{DAY} 0x{DAY}", WEEK + 6, 0),
}


def asked(alerts: dict[str, int], minutes: int) -> list[dict[str, Any]]:
    return [
        {
            "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing", namespace="{HERE}"}})',
            "eval_time": f"{minutes}m",
            "exp_samples": [{"labels": "{}", "value": count}] if count else [],
        }
        for alert, count in alerts.items()
    ]


def test_every_alert_fires_and_is_silent(programs: None, rules: dict[str, Any], tmp_path: Path) -> None:
    document = {
        "rule_files": [str(write(tmp_path / "rules.yaml", rules))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": name,
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in given.items()],
                "promql_expr_test": asked(alerts, minutes),
            }
            for name, (given, minutes, alerts) in CASES.items()
        ],
    }
    check(document, tmp_path)
    seen = {(alert, bool(count)) for _, _, alerts in CASES.values() for alert, count in alerts.items()}
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    assert {(name, fires) for name in names - {"ServingTrafficGone"} for fires in (True, False)} == seen


def test_no_traffic_where_there_was_some(programs: None, rules: dict[str, Any], tmp_path: Path) -> None:
    """By itself, with what it reads given: a week of all rules takes long."""
    (rule,) = (r for g in rules["groups"] for r in g["rules"] if r.get("alert") == "ServingTrafficGone")
    document = {
        "rule_files": [str(write(tmp_path / "rules.yaml", {"groups": [{"name": "one", "rules": [rule]}]}))],
        "evaluation_interval": "10m",
        "tests": [
            {
                "name": name,
                "interval": "10m",
                "input_series": [{"series": series(TRAFFIC), "values": values}],
                "promql_expr_test": asked({"ServingTrafficGone": count}, 10 * tens),
            }
            for name, (values, tens, count) in QUIET.items()
        ],
    }
    check(document, tmp_path)


def check(document: dict[str, Any], folder: Path) -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", write(folder / "tests.yaml", document)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_heading(rules: dict[str, Any]) -> None:
    for rule in (r for group in rules["groups"] for r in group["rules"] if "alert" in r):
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"(?m)^#+ (.*)$", (ROOT / page).read_text())
        assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_plain_file_says_what_the_cluster_is_given(promoted: Fork, rules: dict[str, Any]) -> None:
    """An overlay with the component renders to the same groups, of that environment."""
    overlay = "k8s/overlays/production/kustomization.yaml"
    before = (promoted.root / overlay).read_text()
    promoted.edit(overlay, "components: []", "components: [../../components/monitoring]")
    text = kubectl.render(str(promoted.root / "k8s/overlays/production"), "k8s/overlays/production")
    (promoted.root / overlay).write_text(before)
    given = objectives.plain({"production": load_all(text)})["groups"]
    assert given == [g for g in rules["groups"] if g["name"] in {g["name"] for g in given}]
    (ledger,) = (g["rules"][0] for g in given if g["name"] == "serving-ledger-production")
    assert ledger["labels"] == {"namespace": HERE, "image": OURS}
    assert {"serving-objectives-dev", "serving-objectives-staging"} < {g["name"] for g in rules["groups"]}


def load_all(text: str) -> list[dict[str, Any]]:
    from ruamel.yaml import YAML

    return list(YAML(typ="safe").load_all(text))


def test_the_defaults_of_the_component_can_be_kept() -> None:
    objectives.check(load("k8s/components/monitoring/objectives.yaml"), "k8s/components/monitoring")


AVAILABILITY = "expr: vector(0.99)\n"
BOUNDS = "; it does at '121440' and '218591'"
WRONG = {
    "everything": (AVAILABILITY, "expr: vector(1)\n", "an objective of 1 leaves no room for a single error"),
    "percent": (AVAILABILITY, "expr: vector(99)\n", "an objective of 1 leaves no room for a single error"),
    "nothing": (AVAILABILITY, "expr: vector(0)\n", "an objective is a share below 1"),
    "words": (AVAILABILITY, "expr: high\n", "ratio is high; an objective is a share below 1"),
    "two": (
        "        - record: serving:objective_latency",
        "        - {record: 'serving:objective_availability:ratio', expr: vector(0.9)}\n"
        "        - record: serving:objective_latency",
        "contradicts itself: serving:objective_availability:ratio is vector(0.99) and vector(0.9)",
    ),
    "none": ("serving:objective_latency:ratio", "serving:objective_availability:ratio", "contradicts itself"),
    "typo": ("objective_latency", "objective_latncy", "did you mean 'serving:objective_latency:ratio'?"),
    "between bounds": ('"218591"', '"200000"', f"the server counts no latency at le: '200000'{BOUNDS}"),
    "a number": ('"218591"', "200000", f"the server counts no latency at le: 200000{BOUNDS}"),
    "no bound": (', le: "218591"', "", "counts no latency at le: None; docs/alerts.md lists the bounds"),
}


@pytest.mark.parametrize("defect", WRONG)
def test_an_objective_with_a_defect_is_refused(promoted: Fork, defect: str) -> None:
    old, new, expected = WRONG[defect]
    promoted.edit("k8s/overlays/dev/objectives.yaml", old, new)
    promoted.commit(defect)
    try:
        with pytest.raises(subprocess.CalledProcessError) as failure:
            verb(promoted, "rules", "dev")
    finally:
        promoted.git("reset", "-q", "--hard", "HEAD~1")
    assert failure.value.returncode == 1
    assert expected in failure.value.stderr and "k8s/overlays/dev/objectives.yaml" in failure.value.stderr


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    document = json.loads((ROOT / "k8s/components/monitoring/dashboard.json").read_text())
    row, *panels = document["panels"]
    assert (row["type"], row["repeat"]) == ("row", "environment")
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    places = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & places and grid["x"] + grid["w"] <= 24, panel["title"]
        places |= cells
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
    assert [annotation["name"] for annotation in document["annotations"]["list"]] == ["Deployed", "Rolled back"]
