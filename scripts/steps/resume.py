"""Starts the workflow `release` again for each commit whose training in the cluster of ENV, left to go on, has ended well or not

A commit that main does not have any more is passed over. Where an environment has a later release, `promote` keeps it.
"""

import argparse

from scripts.environments import elsewhere, lookup
from scripts.environments.objects import Objects
from scripts.environments.trainings import NAMESPACE
from scripts.github import gh
from scripts.ledger import overlays
from scripts.workspace import console, git, remote

RELEASES = "release.yml"  # the workflow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="a folder of k8s/overlays")


def run(environment: str) -> int:
    overlays.check(environment)
    if not lookup.reachable(environment):
        return 0
    cluster, branch = lookup.with_cluster(environment), remote.branch()
    objects, main = Objects(cluster.api, f"{cluster.namespace}{NAMESPACE}"), remote.fetch(branch)
    waiting = elsewhere.ended(cluster)
    for commit, names in waiting.items():
        if not git.ask("merge-base", "--is-ancestor", commit, main).returncode:
            gh.api("POST", f"actions/workflows/{RELEASES}/dispatches", {"ref": branch, "inputs": {"commit": commit}})
            console.say(f"  resume     {', '.join(names)} has ended: release is started again for {commit[:12]}")
        else:
            console.say(f"  skipped    {', '.join(names)} has ended; {branch} does not have its commit {commit[:12]}")
        for name in names:  # only now: a run that ends before this is made up for by another release of the same
            elsewhere.note(objects, name, None)
    if not waiting:
        console.say(f"  resume     no training that a release waits for has ended in {environment}")
    return 0
