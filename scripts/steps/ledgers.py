"""The environments that have a release in their ledger, and the images: what a workflow goes through, as outputs of its step"""

import json

from scripts.ledger import overlays
from scripts.workspace import actions, console


def run() -> int:
    found = overlays.released()
    if not found:
        console.say("  skipped    no environment has a release yet; next: ./pipeline promote ENV")
    for name, release in found.items():
        console.say(f"  {name:<10} release {release.name}, {'@'.join(release.image)}")
    images = sorted({"@".join(release.image) for release in found.values()})
    actions.output(environments=json.dumps(list(found)), images=json.dumps(images))
    return 0
