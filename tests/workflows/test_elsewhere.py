"""release, executed, of a model that is trained in a cluster: where that outlives its runner, the run is green and releases nothing."""

from .conftest import World, allow


def test_a_training_that_goes_on_releases_nothing_yet(world: World) -> None:
    fork, namespace = world.fork, f"{world.namespaces['dev']}-training"
    world.cluster.kubectl("apply", "--kustomize", str(fork.root / "k8s/training"))
    allow(world.cluster, world.namespaces["dev"], namespace, "serving-trainer")
    table = "[tool.pipeline.training]\nwait = 0\n[tool.pipeline.environments]\n"
    fork.edit("pyproject.toml", "[tool.pipeline.environments]\n", table)
    fork.edit("k8s/training/job.yaml", "  backoffLimit: 6\n", "  suspend: true\n")
    fork.commit("a training of days")
    world.github.push()
    run = world.run("release", "push", variables={"CLUSTER": "kubeconfig", "TRAIN_ON": "dev"}).ok()
    assert (run.jobs["find"], run.jobs["elsewhere"]) == ("success", "success")
    assert {run.jobs.get(job, "skipped") for job in ("train", "image", "promote", "deploy")} == {"skipped"}
    commit = world.github.git("rev-parse", "main").strip()
    assert "nothing is released yet. The workflow `resume` looks every three hours" in run.summary
    assert f"`gh workflow run release.yml -f commit={commit}`" in run.summary
    assert commit in world.cluster.kubectl("get", "jobs", f"--namespace={namespace}", "--output=yaml")
    world.cluster.kubectl("delete", "namespace", namespace, "--wait=false")
