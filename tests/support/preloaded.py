"""What verbs import, imported once: those of the tests are forked from the process that did (tests/support/fork.py)."""

import gc

import docker  # noqa: F401
import grpc  # noqa: F401
import keras  # noqa: F401
import kubernetes.client  # noqa: F401
import matplotlib.figure  # noqa: F401
import requests  # noqa: F401
import rich.console  # noqa: F401
import ruamel.yaml  # noqa: F401
import tensorflow  # noqa: F401
import tomlkit  # noqa: F401

gc.collect()
gc.freeze()  # a million objects that no collection needs to look at, each of which would copy its page into the verb's process
