"""oneDNN's kernels: used where a model convolves.

They run a batch of images twice as fast. A dense model gains nothing by them, and its errors would no longer read as
TensorFlow Serving's. TensorFlow reads the choice once, when its library is loaded, so it is made before that, from the models' files.
"""

import logging
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format

from .flags import Settings
from .protos import model_server_config_pb2

log = logging.getLogger("onednn")

CONVOLUTIONS = {"Conv2D", "Conv3D", "DepthwiseConv2dNative"}


def choose(settings: Settings) -> None:
    """Sets TF_ENABLE_ONEDNN_OPTS by the models that are there now; whoever has set it keeps their choice."""
    wanted = any(map(_convolves, _base_paths(settings)))
    chosen = os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(wanted)))
    log.info("TensorFlow runs with %s kernels", "plain" if chosen == "0" else "oneDNN's")


def is_on() -> bool:
    """Whether this process runs them, by what TensorFlow read: it has them on by default."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS") not in ("0", "false")


def _base_paths(settings: Settings) -> Iterable[str]:
    if not settings["model_config_file"]:
        return filter(None, [settings["model_base_path"]])
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(Path(settings["model_config_file"]).read_text(), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return []  # the start refuses it, and says why
    return [model.base_path for model in config.model_config_list.config]


def _convolves(base_path: str) -> bool:
    return any(_names_a_convolution(graph) for graph in Path(base_path).glob("*/saved_model.pb"))


def _names_a_convolution(graph: Path) -> bool:
    try:
        with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(name.encode()) >= 0 for name in CONVOLUTIONS)
    except (OSError, ValueError):  # ValueError: an empty file
        return False
