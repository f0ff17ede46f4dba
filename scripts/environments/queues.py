"""Where Kueue says when a training may begin: whether the cluster has it, and why a Job waits."""

import contextlib

from scripts.environments.objects import Objects
from scripts.environments.reasons import Object, condition
from scripts.workspace.errors import YourTurn

GROUP = "kueue.x-k8s.io"
QUEUE, JOB = f"{GROUP}/queue-name", f"{GROUP}/job-uid"  # labels of a Job and of its Workload


def refuse_absent(objects: Objects, queue: str) -> None:
    """Refuses a queue in a cluster where nothing would ever let the Job begin."""
    if queue and not _version(objects):
        problem = f"queue is {queue!r}, and the cluster of {objects.api.environment} has no Kueue"
        raise YourTurn(problem, "take queue out of [tool.pipeline.training], or an administrator installs Kueue")


def reason(objects: Objects, job: Object) -> str:
    """Why a suspended Job waits, in Kueue's words, where the role allows to read them."""
    queue = job["metadata"].get("labels", {}).get(QUEUE)
    if not queue:
        return "is suspended: somebody has set spec.suspend"
    with contextlib.suppress(YourTurn):
        for workload in objects.listed(_version(objects), "Workload", labelSelector=f"{JOB}={job['metadata']['uid']}"):
            if waits := condition(workload, "QuotaReserved", "False"):
                return f"waits in queue {queue}: {' '.join(waits['message'].split())}"
    return f"waits in queue {queue}"


def _version(objects: Objects) -> str:
    """That of Kueue's API which the cluster prefers; empty where there is none."""
    found = objects.api.find(f"/apis/{GROUP}")
    return found["preferredVersion"]["groupVersion"] if found else ""
