"""The alerting rules of all environments, or of ENV, as a plain file for a Prometheus without the operator

These are the PrometheusRules of the component monitoring, with the objectives and the ledger of HEAD. Print them again after a promotion:
they name the release that should answer.
"""

import argparse
import sys

from scripts.ledger import objectives, overlays, rendering

COMPONENT = "../../components/monitoring"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environments", metavar="ENV", nargs="*", help="a folder of k8s/overlays; none: all")


def run(environments: list[str]) -> int:
    from ruamel.yaml import YAML

    for name in environments:
        overlays.check(name)
    names = environments or list(overlays.released()) or overlays.names()  # without a promotion nothing is down
    rendered = {name: rendering.render(name, "HEAD", None, component=COMPONENT) for name in names}
    writer = YAML()
    writer.width = 1000  # one line for each expression
    writer.dump(objectives.plain(rendered), sys.stdout)
    return 0
