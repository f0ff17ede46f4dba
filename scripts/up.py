"""The whole journey on this computer: train, evaluate, export, image and its tests if there is Docker, serve, verify"""

import argparse
import json
import os
import shlex
from types import FunctionType

from scripts import (
    _checkout,
    _console,
    _delivery,
    _engine,
    _files,
    _image,
    _kubectl,
    _local,
    _models,
    _node,
    _release,
    _requirements,
    _tensorflow,
    deploy,
    image,
    promote,
    push,
    test_image,
)
from scripts._delivery import Entry, Target
from scripts._errors import YourTurn
from scripts._release import Release
from scripts.evaluate import evaluate
from scripts.export import export
from scripts.train import train

NEEDS = "train"
LONG = 200  # characters of a request that one still wants to see on a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _models.add_argument(parser)
    parser.add_argument(
        "--cluster",
        action="store_true",
        help=f"also a Kubernetes in a container, with dev promoted and deployed on it (image in pyproject.toml: '{_node.REGISTRY}/NAME')",
    )


def run(model: list[str] | None, cluster: bool) -> int:
    modules, local = _models.chosen(model), _local.read()
    if cluster:
        _node.check_registry()
    with local.exclusively("up"):
        started = local.start()  # first: it imports TensorFlow on a second core while this one trains
        try:
            release = _reusable(modules) or _make(modules)
        except BaseException:
            if started and not local.ledger():
                local.stop()  # it has nothing to serve
            raise
        _contain(release)
        _deliver(local, release)
    _say_how_to_ask(local, release)
    if cluster:
        _deploy_on_node()
    return 0


def _reusable(modules: list[str]) -> Release | None:
    """The release exported last, if nothing that decides its answers has changed; but not a dirty one of what is committed now."""
    try:
        release = _release.read()
        release.check_files()
    except YourTurn:
        return None
    if release.id != _release.identity(modules) or (release.document["dirty"] and not _checkout.read().dirty):
        return None
    _console.say(f"  reused     release {release.name}: nothing that decides its answers has changed")
    return release


def _make(modules: list[str]) -> Release:
    for module in modules:
        _stage("train", "history.json", module, train)
        _stage("evaluate", "evaluation.json", module, evaluate)
    with _console.stage("export") as stage:
        stage.result = _tensorflow.isolated(export, modules)
    return _release.read()


def _stage(verb: str, file: str, module: str, work: FunctionType) -> None:
    try:
        if _models.record(module, file, verb).get("passed", True):
            _console.say(f"  {verb:<10} {module}: reused, {file} is of this very code")
            return
    except YourTurn:
        pass
    with _console.stage(verb) as stage:
        stage.result = _tensorflow.isolated(work, module)


def _contain(release: Release) -> None:
    """The image and its tests, where there is an engine and the base image can be had; else says why not."""
    try:
        _engine.client()
        _image.find_base()
    except YourTurn as error:
        _console.say(f"  image      skipped: {error.problem}")
        return
    if not _is_tested(release):
        image.build(release)
        _requirements.ensure(test_image.NEEDS)
        test_image.test(release)


def _is_tested(release: Release) -> bool:
    try:
        tested = _image.note(release)["tested"]
    except YourTurn:
        return False
    if tested:
        _console.say(f"  image      reused: {_image.reference(release)} was built and tested")
    return tested


def _deliver(local: _local.Local, release: Release) -> None:
    if local.running() != release.label or local.ledger() != release.label:
        _delivery.deliver(local, Target(release), "deploy", "up")
        return
    with _console.stage("verify") as stage:
        stage.result = f"already served; {_delivery.verify(local, release)}"


def _deploy_on_node() -> None:
    """The way to an environment, by the verbs that a workflow runs: push, promote, deploy."""
    _requirements.ensure(_node.NEEDS)
    kubeconfig = str(_node.start().absolute())
    os.environ["KUBECONFIG"] = kubeconfig
    _kubectl.apply("k8s/admission")
    push.run(dirty=True)
    release = _release.read()
    promote.commit("dev", release, Entry(_delivery.now(), "promote", release.label, "promoted", "up --cluster"))
    deploy.run("dev")
    _console.say(f"\ndev runs on it: export KUBECONFIG={kubeconfig}; ./pipeline status dev")


def _say_how_to_ask(local: _local.Local, release: Release) -> None:
    """A curl line that works when pasted: the row format where the model has one input, else the column format. A long body is a file."""
    endpoint = local.endpoint()
    for model in release.models:
        url = f"http://localhost:{endpoint.rest_port}/v1/models/{model['name']}:predict"
        inputs = model["examples"][0]["inputs"]
        body = json.dumps({"instances": next(iter(inputs.values()))} if len(inputs) == 1 else {"inputs": inputs})
        if len(body) > LONG:
            file = _local.FOLDER / f"request-{model['name']}.json"
            _files.write(file, body)
            body = f"@{file}"
        _console.say(f"\n{model['name']} answers at {url}\n  curl -d {shlex.quote(body)} {url}")
    _console.say("\nstop it: ./pipeline down")
