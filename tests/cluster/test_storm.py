"""Deployments and rollbacks while the way to the API server is unkind: only a release's own failure puts it back, and all who know agree.

As long as one likes: `./pipeline test tests/cluster/test_storm.py --cycles 100 --seed 7`.
"""

import json
import random
import time
from typing import Any

import pytest

from . import unkind
from .environment import Environment, label

SHARE = 0.12  # of all requests meet a fault; a deployment makes about a hundred
FAILS = {"crashing": "crashes again and again", "wrong": "example 1 by REST: y"}


def remembered(dev: Environment) -> str:
    """The release that the cluster says it has served last."""
    return json.loads(dev.get("configmap/deployments")["data"]["served"])[-1]["release"]


@pytest.mark.timeout(0)
def test_a_storm(dev: Environment, releases: dict[str, Any], request: pytest.FixtureRequest) -> None:
    cycles, seed = request.config.getoption("cycles") or 4, request.config.getoption("seed") or int(time.time())
    chance, serving, history = random.Random(seed), "one", 0
    dev.patch("replicas", replicas=1)
    dev.deploy(releases["one"])
    before, again = "two", 0
    with unkind.before(dev.kubeconfig, SHARE, seed) as proxy:
        for cycle in range(cycles):
            act = "deploy" if cycle == 0 else chance.choice(["deploy", "deploy", "rollback", *FAILS])
            command = ["rollback", "dev", "--reason", f"cycle {cycle}"] if act == "rollback" else ["deploy", "dev"]
            wanted = serving if act in FAILS else before
            if act != "rollback":
                dev.promote_again(releases[act if act in FAILS else before])
            result = dev.run(*command)
            while (
                result.code == 1 and "serves again" not in result.err
            ):  # it stumbled, and says so: the same command again
                again += 1
                assert again <= cycles, result.err
                result = dev.run(*command)
            assert result.code == (1 if act in FAILS else 0), f"cycle {cycle}, {act}, seed {seed}: {result.err}"
            assert FAILS.get(act, "") in result.err
            if wanted != serving:
                serving, before = before, serving
            history += act in FAILS
            release = releases[serving]
            assert dev.ledger()["id"] == release["id"]
            assert dev.image() == f"{release['image']['name']}@{release['image']['digest']}"
            assert remembered(dev) == label(release)
    dev.serves(releases[serving])
    returns = [e for e in json.loads(dev.ok("history", "dev", "--json", "-").out) if e["action"] == "return"]
    print(f"storm: {cycles} cycles, seed {seed}, {again} stopped and run again, met {dict(proxy.met)}")
    assert len(returns) == history
