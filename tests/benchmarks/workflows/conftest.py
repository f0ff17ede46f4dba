"""The fork, its GitHub and its cluster, as tests/workflows has them."""

from tests.workflows.conftest import admission, cluster, engine, world

__all__ = ["admission", "cluster", "engine", "world"]
