"""Starts the workflow `release` again for each commit whose training in the cluster of ENV, left to go on, has ended well or not

A commit that main does not have any more is passed over. Where an environment has a later release, `promote` keeps it.
"""

from scripts.environments import elsewhere, lookup, trainings
from scripts.github import gh
from scripts.workspace import console, git, remote

RELEASES = "release.yml"  # the workflow


add_arguments = lookup.add_overlay


def run(environment: str) -> int:
    if not (cluster := lookup.reachable_cluster(environment)):
        return 0
    objects, branch = trainings.place(cluster), remote.branch()
    main, waiting = remote.fetch(branch), elsewhere.ended(objects)
    for commit, names in waiting.items():
        if git.precedes(commit, main):
            gh.api("POST", f"actions/workflows/{RELEASES}/dispatches", {"ref": branch, "inputs": {"commit": commit}})
            console.say(f"  resume     {', '.join(names)} has ended: release is started again for {commit[:12]}")
        else:
            console.say(f"  skipped    {', '.join(names)} has ended; {branch} does not have its commit {commit[:12]}")
        for name in names:  # only now: a run that ends before this is made up for by another release of the same
            elsewhere.note(objects, name, None)
    if not waiting:
        console.say(f"  resume     no training that a release waits for has ended in {environment}")
    return 0
