"""Stops the server that `up` left running, once requests in flight are finished, and the cluster of `up --cluster`"""

from scripts import _console, _delivery, _local, _node


def run() -> int:
    local = _local.read()
    with local.exclusively("down"):
        stopped = local.stop()
        _delivery.stop(local)
    if _node.KUBECONFIG.exists() and _node.stop():
        _console.say("the cluster is removed, with all that ran on it")
    _console.say(
        "the server is stopped; ./pipeline up starts it again" if stopped else "no server of this repository is running"
    )
    return 0
