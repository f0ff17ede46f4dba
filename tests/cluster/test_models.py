"""The models in model/ on the way to production: image, its tests, registry, cluster, pictures and sound asked of its pods, and back."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from scripts.environments import forwarding
from scripts.environments.api import Api
from scripts.environments.client import Endpoint, NoAnswer
from scripts.release import registry
from tests.conftest import MODELS
from tests.support.fork import Fork
from tests.support.inputs import BAD, GOOD, JPEG, SEVEN, named

from .conftest import Cluster, environment
from .environment import Environment

pytestmark = pytest.mark.timeout(
    900
)  # seconds: the first of a run to ask for the models trains them, however busy the machine
DTYPES = {"image": "string", "wav": "string"}
SERVED = ["digits", "digits_int8", "spoken_digits", "spoken_digits_int8"]


@dataclass
class Delivered:
    """`dev` after two releases: `first` holds the models in their order, `second` the other way round."""

    dev: Environment
    first: dict[str, Any]
    second: dict[str, Any]
    pods: list[Endpoint]


@pytest.fixture(scope="module")
def delivered(
    trained: Fork, cluster: Cluster, admission: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Delivered]:
    folder = tmp_path_factory.mktemp("models")
    fork = trained.copy(folder / "fork")
    fork.edit("pyproject.toml", 'image = ""', f'image = "{cluster.registry}/{fork.root.name}"')
    with contextmanager(environment)(cluster, folder, fork) as dev:
        fork.ok("image")
        fork.ok("test-image")
        first = bring(dev)
        fork.ok("export", *(part for name in reversed(MODELS) for part in ("--model", name)))
        fork.ok("image")
        fork.edit("build/image.json", '"tested": false', '"tested": true')  # the same files, in another order
        second = bring(dev)
        with pods(dev) as endpoints:
            yield Delivered(dev, first, second, endpoints)
    fork.clean_up()


def bring(dev: Environment) -> dict[str, Any]:
    dev.fork.ok("push")
    dev.ok("promote", "dev")
    dev.ok("deploy", "dev")
    return dev.fork.read("build/release/release.json")


@contextmanager
def pods(dev: Environment) -> Iterator[list[Endpoint]]:
    """Each pod of the environment, past every Service."""
    found = dev.get("pods", "--field-selector=status.phase=Running")["items"]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as ways:
        patch.setenv("KUBECONFIG", str(dev.cluster.kubeconfig))
        api = Api("dev", "")
        there = [forwarding.endpoint(api, pod) for pod in found if "deletionTimestamp" not in pod["metadata"]]
        yield [ways.enter_context(endpoint.connected()) for endpoint in there]


def label(answer: Any) -> str:
    (found,) = answer["label"]
    return found


@pytest.mark.parametrize("model", SERVED)
def test_every_pod_recognises_encoded_bytes_by_rest_and_grpc(delivered: Delivered, model: str) -> None:
    content, expected = GOOD[model.removesuffix("_int8")]
    assert len(delivered.pods) == 2
    for pod in delivered.pods:
        assert label(pod.predict_by_rest(model, named(model, content))) == expected
        version, answer = pod.predict_by_grpc(model, named(model, content), DTYPES)
        assert (version, label(answer)) == (delivered.second["version"], expected)


def test_a_batch_of_formats(delivered: Delivered) -> None:
    for pod in delivered.pods:
        assert pod.predict_by_rest("digits", named("digits", SEVEN, JPEG))["label"] == ["seven", "four"]
        assert pod.predict_by_grpc("digits", named("digits", SEVEN, JPEG), DTYPES)[1]["label"] == ["seven", "four"]


@pytest.mark.parametrize("defect", BAD)
def test_bad_input_is_the_client_s_error_and_the_pod_goes_on(delivered: Delivered, defect: str) -> None:
    model, content, message = BAD[defect]
    good, expected = GOOD[model]
    for pod in delivered.pods:
        with pytest.raises(NoAnswer, match=f"^HTTP 400: .*{re.escape(message)}"):
            pod.predict_by_rest(model, named(model, content))
        with pytest.raises(NoAnswer, match=f"^INVALID_ARGUMENT: .*{re.escape(message)}"):
            pod.predict_by_grpc(model, named(model, content), DTYPES)
        assert label(pod.predict_by_rest(model, named(model, good))) == expected


@pytest.mark.parametrize("model", ["digits", "spoken_digits"])
def test_an_empty_batch_is_the_client_s_error(delivered: Delivered, model: str) -> None:
    for pod in delivered.pods:
        with pytest.raises(NoAnswer, match=r"^HTTP 400: "):
            pod.predict_by_rest(model, named(model))
        with pytest.raises(NoAnswer, match=r"^INVALID_ARGUMENT: "):
            pod.predict_by_grpc(model, named(model), DTYPES)


def test_no_pod_was_restarted_by_any_of_it(delivered: Delivered) -> None:
    statuses = [pod["status"]["containerStatuses"] for pod in delivered.dev.get("pods")["items"]]
    assert {status["restartCount"] for (status,) in statuses} == {0}


def test_the_litert_files_went_along(delivered: Delivered) -> None:
    """Both releases hold the same files; each release's image has artifacts of its own."""
    for release in (delivered.first, delivered.second):
        repository = registry.Repository(release["image"]["name"])
        listed = {one["digest"] for one in repository.referrers(release["image"]["digest"])}
        assert listed == {artifact["digest"] for artifact in release["artifacts"]}
        assert {artifact["file"] for artifact in release["artifacts"]} == {
            "edge/digits.tflite",
            "edge/spoken_digits.tflite",
        }
    assert delivered.first["image"] != delivered.second["image"]


def test_rolled_back_and_verified_again(delivered: Delivered) -> None:
    dev = delivered.dev
    dev.serves(delivered.second)
    dev.ok("rollback", "dev", "--reason", "the models in their order")
    dev.serves(delivered.first)
    assert "on 2 servers: all right" in dev.ok("verify", "dev").out
    with pods(dev) as endpoints:
        for pod in endpoints:
            version, answer = pod.predict_by_grpc(
                "spoken_digits", named("spoken_digits", GOOD["spoken_digits"][0]), DTYPES
            )
            assert (version, label(answer)) == (delivered.first["version"], "five")
