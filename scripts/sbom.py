"""Lists what is in the image: build/release/sbom.spdx.json, and licences.md with the packages under each licence"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from scripts.release import engine, images, releases
from scripts.release.releases import Release
from scripts.workspace import console, files, process
from scripts.workspace.errors import YourTurn

NEEDS = "dev"
NONE_STATED = {"NONE", "NOASSERTION", ""}


def run() -> int:
    release = releases.read()
    note = images.note(release)
    engine.client()
    with console.stage("sbom") as stage:
        document = _scan(note["id"])
        document["packages"] += _sources(release)
        files.write(release.folder / "sbom.spdx.json", json.dumps(document, indent=1))
        files.write(release.folder / "licences.md", _licences(note["reference"], document))
        stage.result = f"{len(document['packages'])} packages; build/release/licences.md"
    return 0


def _sources(release: Release) -> list[dict]:
    """The data and weights from elsewhere, as SPDX's packages."""
    return [
        {
            "name": name,
            "SPDXID": f"SPDXRef-Source-{source['sha256'][:16]}",
            "downloadLocation": source["url"],
            "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": source["sha256"]}],
            "licenseDeclared": "NOASSERTION",
        }
        for model in release.models
        if "variant_of" not in model
        for name, source in model.get("sources", {}).items()
    ]


def _scan(image: str) -> dict:
    """The image's bill of materials by syft, as SPDX 2.3."""
    command = [
        str(Path(sys.executable).with_name("syft")),
        "scan",
        f"docker:{image}",
        "--quiet",
        "--output",
        "spdx-json",
    ]
    result = process.text(command, YourTurn("syft is not installed in .venv", "rm -r .venv, then ./pipeline sbom"))
    if result.returncode:
        raise YourTurn(f"syft cannot read the image: {result.stderr.strip()}", "./pipeline image, then ./pipeline sbom")
    return json.loads(result.stdout)


def _licences(reference: str, document: dict) -> str:
    packages = defaultdict(set)
    for package in document["packages"]:
        stated = {package.get("licenseDeclared", ""), package.get("licenseConcluded", "")} - NONE_STATED
        for licence in stated or {"none stated"}:
            packages[licence].add(f"{package['name']} {package.get('versionInfo', '')}".strip())
    lines = [f"## {licence}\n\n{', '.join(sorted(names))}\n" for licence, names in sorted(packages.items())]
    return "\n".join([f"# Licences in {reference}\n", *lines])
