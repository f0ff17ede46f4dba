"""Has the models of a release trained in the cluster of ENV, and waits for them; what the registry has is not trained again

After `wait` minutes of [tool.pipeline.training] it leaves a training to go on without it, and succeeds; `resume` starts the workflow
`release` again when that has ended. Outputs `trained`, for `train --trained`, and `left`, true if one goes on. It runs no code of a model.
"""

from scripts.environments import elsewhere, lookup
from scripts.workspace import actions, console, git, settings

LOOKS = "every three hours"  # resume.yml's schedule


add_arguments = lookup.add_overlay


def run(environment: str) -> int:
    if not (cluster := lookup.reachable_cluster(environment)):
        return 0
    commit = git.text("rev-parse", "HEAD")
    found, left = elsewhere.trained(cluster, settings.read().models, commit)
    actions.output(
        trained=",".join(f"{module}@{digest}" for module, digest in found.items()), left=str(bool(left)).lower()
    )
    for job in left:
        _say(job, environment, commit)
    return 0


def _say(job: str, environment: str, commit: str) -> None:
    console.say(f"  left       Job {job} goes on in the cluster of {environment}")
    again = f"gh workflow run release.yml -f commit={commit}"
    actions.summary(
        f"The training goes on in the cluster of {environment}, as Job `{job}`, and nothing is released yet. The workflow `resume` looks "
        f"{LOOKS} whether it has ended, and then starts `release` again for this commit. At once: `{again}`"
    )
    console.say(f"next: {again}, when it has ended; the workflow resume does so, which looks {LOOKS}")
