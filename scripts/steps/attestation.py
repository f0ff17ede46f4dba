"""Verifies that the image which ENV's ledger names was built by this fork's own release workflow, by GitHub's attestation

In a private repository with attestation = "where-possible", a missing attestation is reported and passes. A wrong one never passes.
"""

from scripts.environments import lookup
from scripts.github import attestations
from scripts.ledger import overlays
from scripts.workspace import console

add_arguments = lookup.add_argument


def run(environment: str) -> int:
    overlays.check(environment)
    release = overlays.Overlay(environment).release()
    if not release:
        console.say(f"  skipped    {environment} has no release yet")
        return 0
    with console.stage("attested") as stage:
        stage.result = attestations.check(release)
    return 0
