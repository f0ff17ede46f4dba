"""sbom: what is in the image, and under which licences."""

import docker

from tests.support.fork import Fork


def test_packages_and_their_licences_are_listed(engine: docker.DockerClient, fork: Fork) -> None:
    fork.release()
    fork.ok("image")
    fork.ok("sbom")
    document = fork.read("build/release/sbom.spdx.json")
    assert document["spdxVersion"] == "SPDX-2.3" and document["packages"]
    licences = (fork.root / "build/release/licences.md").read_text()
    assert licences.startswith("# Licences in ") and "## " in licences


def test_without_an_image_there_is_nothing_to_list(engine: docker.DockerClient, fork: Fork) -> None:
    fork.release()
    assert fork.run("sbom").err.endswith("next: ./pipeline image\n")
