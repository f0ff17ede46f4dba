"""The cluster of the tests, with a Service and a namespace for each figure."""

from tests.cluster.conftest import admission, cluster, dev, engine, releases

__all__ = ["admission", "cluster", "dev", "engine", "releases"]
