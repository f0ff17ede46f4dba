"""Verifies that the image which ENV's ledger names was built by this fork's own release workflow, by GitHub's attestation

In a private repository with attestation = "where-possible", a missing attestation is reported and passes. A wrong one never passes.
With --policy it prints, in place of that, the policy by which an admission controller asks for the same; for an administrator to apply.
"""

import argparse

from scripts.github import attestations
from scripts.ledger import overlays
from scripts.workspace import console, settings
from scripts.workspace.errors import YourTurn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", nargs="?", help="a folder of k8s/overlays")
    parser.add_argument("--policy", metavar="CONTROLLER", help=" or ".join(attestations.policies()))


def run(environment: str | None, policy: str | None) -> int:
    if policy:
        settings.refuse_unknown("policy", policy, attestations.policies())
        console.tell(attestations.policy(policy).rstrip("\n"))
        return 0
    if not environment:
        raise YourTurn("attestation needs an environment", f"./pipeline attestation {overlays.first()}")
    overlays.check(environment)
    release = overlays.Overlay(environment).release()
    if not release:
        console.say(f"  skipped    {environment} has no release yet")
        return 0
    with console.stage("attested") as stage:
        stage.result = attestations.check(release)
    return 0
