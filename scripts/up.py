"""The whole journey on this computer: train, evaluate, export, image and its tests if there is Docker, serve, verify"""

import argparse
import os

from scripts.environments import asking, delivery, deployment, local, node
from scripts.environments.delivery import Target
from scripts.environments.local import Local
from scripts.ledger import entries, history, kubectl, promotion
from scripts.ledger.entries import Entry
from scripts.release import acceptance, engine, identity, images, platforms, pushing, releases
from scripts.release.releases import Release
from scripts.training import models, stages
from scripts.workspace import checkout, console, requirements
from scripts.workspace.errors import YourTurn

NEEDS = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models.add_argument(parser)
    parser.add_argument(
        "--cluster",
        action="store_true",
        help=f"also a Kubernetes in a container, with dev promoted and deployed on it (image in pyproject.toml: '{node.REGISTRY}/NAME')",
    )


def run(model: list[str] | None, cluster: bool) -> int:
    modules, here = models.chosen(model), local.read()
    if cluster:
        node.check_registry()
    with here.exclusively("up"):
        started = here.start()  # first: it imports TensorFlow on a second core while this one trains
        try:
            release = _reusable(modules) or _make(modules)
        except BaseException:
            if started and not here.ledger():
                here.stop()  # the server has nothing to serve
            raise
        _contain(release)
        serving = _in_place_of(here, release) or release
        _deliver(here, serving)
    asking.tell(here, serving)
    if cluster:
        _deploy_on_node()
    console.say(f"\nstop it{', and remove the cluster with all that is on it' * cluster}: ./pipeline down")
    return 0


def _reusable(modules: list[str]) -> Release | None:
    """The last exported release, if nothing that decides its answers has changed; not a dirty one once its changes are committed."""
    try:
        release = releases.read()
        release.check_files()
    except YourTurn:
        return None
    if release.id != identity.of_release(modules) or (release.document["dirty"] and not checkout.read().dirty):
        return None
    console.say(f"  reused     release {release.name}: nothing that decides its answers has changed")
    return release


def _make(modules: list[str]) -> Release:
    """Runs only the stages that are due: a change of the judging trains nothing."""
    untrained = [module for module in modules if not _is_done("train", module, "history.json")]
    if due := [
        module for module in modules if module in untrained or not _is_done("evaluate", module, "evaluation.json")
    ]:
        stages.check(due)
    for module in due:
        if module in untrained:
            stages.train(module)
        stages.evaluate(module, {}, modules)
    stages.export(modules)
    return releases.read()


def _is_done(verb: str, module: str, file: str) -> bool:
    """Whether `file` was made by the present code; if not, says what changed."""
    try:
        done = models.record(module, file, verb).get("passed", True)
    except YourTurn as error:
        if (models.folder(module) / file).exists():
            console.say(f"  {verb:<10} {module}: again, since {error.problem}")
        return False
    if done:
        console.say(f"  {verb:<10} {module}: reused, {file} is of this very code")
    return done


def _contain(release: Release) -> None:
    """Builds and tests the image, if there is an engine and the base image is available; else says why not."""
    try:
        engine.client()
        for architecture in platforms.chosen():
            images.find_base(architecture)
    except YourTurn as error:
        what_to_set = f"; {error.remedy}" * error.remedy.startswith(engine.EMBEDDED)
        console.say(f"  image      skipped: {error.problem}{what_to_set}")
        return
    if not _is_tested(release):
        images.build(release)
        requirements.ensure(acceptance.NEEDS)
        acceptance.test(release)


def _is_tested(release: Release) -> bool:
    try:
        tested = images.note(release)["tested"]
    except YourTurn:
        return False
    if tested:
        console.say(f"  image      reused: {images.reference(release)} was built and tested")
    return tested


def _in_place_of(here: Local, release: Release) -> Release | None:
    """What goes on serving in the place of `release`, if that was rolled back: as in every environment, it does not return by itself."""
    served = [entry for entry in here.history() if entry.outcome == "serving"]
    why = history.taken_back(served).get(release.name)
    if why is None:
        return None
    console.say(
        f"  skipped    release {release.name} was rolled back in local ({why}): it comes back only with a change of model/,"
    )
    console.say("             or by ./pipeline deploy local")
    return here.find(served[-1].release).release


def _deliver(here: Local, release: Release) -> None:
    if here.running() != release.label or here.ledger() != release.label:
        delivery.deliver(here, Target(release), "deploy", "up")
        return
    with console.stage("verify") as stage:
        stage.result = f"already served; {delivery.verify(here, release)}"


def _deploy_on_node() -> None:
    """Deploys to the node by the same verbs as a workflow: push, promote, deploy."""
    requirements.ensure(node.NEEDS)
    kubeconfig = str(node.start().absolute())
    os.environ["KUBECONFIG"] = kubeconfig
    kubectl.apply("k8s/admission")
    pushing.push(releases.read(), dirty=True)
    release = releases.read()  # read again, for the place that push has noted
    promotion.commit("dev", release, Entry(entries.now(), "promote", release.label, "promoted", "up --cluster"))
    deployment.deploy("dev")
    console.say(f"\ndev runs on it: export KUBECONFIG={kubeconfig}; ./pipeline status dev")
