"""Brings to origin what the ledger's commits here say: what a rollback, or a deployment that failed, has corrected

The commits go on top of what others have pushed meanwhile, or into a pull request if origin's branch is protected. Twice is a no-op.
"""

from scripts.ledger import publication


def run() -> int:
    publication.publish()
    return 0
