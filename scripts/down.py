"""Stops the server that `up` left running, once requests in flight are finished, and the cluster of `up --cluster`"""

from scripts.environments import delivery, local, node
from scripts.workspace import console


def run() -> int:
    here = local.read()
    with here.exclusively("down"):
        stopped = here.stop()
        delivery.stop(here)
    if node.KUBECONFIG.exists() and node.stop():
        console.say("the cluster is removed, with all that ran on it")
    console.say(
        "the server is stopped; ./pipeline up starts it again" if stopped else "no server of this repository is running"
    )
    return 0
