"""sbom: what is in the image, and under which licences."""

from collections.abc import Callable
from pathlib import Path

from tests.support.fork import Fork


def test_packages_and_their_licences_are_listed(built: Callable[..., Fork]) -> None:
    fork = built(1)
    fork.ok("sbom")
    document = fork.read("build/release/sbom.spdx.json")
    assert document["spdxVersion"] == "SPDX-2.3"
    assert ("hello", "2.10") in {(package["name"], package.get("versionInfo")) for package in document["packages"]}
    licences = (fork.root / "build/release/licences.md").read_text()
    assert licences.startswith("# Licences in ") and "## GPL-3" in licences


def test_without_an_image_there_is_nothing_to_list(released: Fork, tmp_path: Path) -> None:
    assert released.copy(tmp_path / "fork").run("sbom").err.endswith("next: ./pipeline image\n")
