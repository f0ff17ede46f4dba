"""server = "embedded": a release on the embedded server's own image, as production runs it."""

from collections.abc import Iterator

import docker
import grpc
import pytest

from scripts.environments import verification
from scripts.release.releases import Release
from serving.embedded.protos import model_management_pb2
from tests.container.conftest import started, wait_until_ready
from tests.support.fork import Fork

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


@pytest.fixture(scope="module")
def released(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fork]:
    fork = Fork(tmp_path_factory.mktemp("embedded") / "fork")
    fork.edit("pyproject.toml", 'image = ""', 'image = ""\nserver = "embedded"')
    fork.release()
    fork.ok("image")
    yield fork
    fork.clean_up()


def test_answers_reloads_and_ends_when_it_is_told(released: Fork, engine: docker.DockerClient) -> None:
    """Under production's restrictions: read-only, without capabilities, as a numeric user."""
    release = Release(released.root, released.read("build/release/release.json"))
    image = released.read("build/image.json")["id"]
    assert engine.images.get(image).attrs["Config"]["User"] == "65532:65532"
    with started(image) as (container, endpoint):
        wait_until_ready(container, endpoint, release)
        assert verification.problems(endpoint, release) == []
        request = model_management_pb2.ReloadConfigRequest()
        for name in ("instant", "second"):
            request.config.model_config_list.config.add(
                name=name, base_path="/models/instant", model_platform="tensorflow"
            )
        with grpc.insecure_channel(f"{endpoint.host}:{endpoint.grpc_port}") as channel:
            channel.unary_unary(RELOAD)(request.SerializeToString(), timeout=60)
        assert endpoint.status("second") == {release.version: ("AVAILABLE", "")}
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 0
