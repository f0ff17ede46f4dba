"""Verifies that the image which ENV's ledger names was built by this fork's own release workflow, by GitHub's attestation

Where the repository is private, and the settings say attestation = "where-possible", one that is missing is said and let pass; a wrong
one never.
"""

from scripts import _attestation, _console, _environments, _overlay

add_arguments = _environments.add_argument


def run(environment: str) -> int:
    _environments.check(environment, _environments.names()[1:])
    release = _overlay.Overlay(environment).release()
    if not release:
        _console.say(f"  skipped    {environment} has no release yet")
        return 0
    with _console.stage("attested") as stage:
        stage.result = _attestation.check(release)
    return 0
