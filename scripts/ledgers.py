"""The environments that have a release in their ledger, and the images: what a workflow goes through, as outputs of its step"""

import json

from scripts import _console, _environments, _github
from scripts._overlay import Overlay
from scripts._release import Release


def run() -> int:
    found = releases()
    if not found:
        _console.say("  skipped    no environment has a release yet; next: ./pipeline promote ENV")
    for name, release in found.items():
        _console.say(f"  {name:<10} release {release.name}, {'@'.join(release.image)}")
    images = sorted({"@".join(release.image) for release in found.values()})
    _github.output(environments=json.dumps(list(found)), images=json.dumps(images))
    return 0


def releases() -> dict[str, Release]:
    """By environment, in the order of promotion."""
    found = {name: Overlay(name).release() for name in _environments.names()[1:]}
    return {name: release for name, release in found.items() if release}
