"""What verbs import, imported once: those of the tests are forked from the process that did (tests/support/fork.py)."""

import gc

import docker  # noqa: F401
import fastjsonschema  # noqa: F401
import grpc.experimental  # noqa: F401
import keras  # noqa: F401
import kubernetes.client  # noqa: F401
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import PIL.Image
import requests  # noqa: F401
import rich.progress  # noqa: F401
import ruamel.yaml  # noqa: F401
import sklearn.metrics  # noqa: F401
import tensorflow  # noqa: F401
import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
import tomlkit  # noqa: F401

PIL.Image.preinit()  # its formats

gc.collect()
gc.freeze()  # a million objects that no collection needs to look at, each of which would copy its page into the verb's process
