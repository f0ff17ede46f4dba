"""Brings to origin what the ledger's commits here say: what a rollback, or a deployment that failed, has corrected

On top of what others have pushed meanwhile. Where origin's branch is protected, as a pull request. Twice is a no-op.
"""

from scripts.ledger import publication


def run() -> int:
    publication.publish()
    return 0
