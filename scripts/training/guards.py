"""What an export does so that no request ends its server, and each that does not fit is refused by the name of its input.

TensorFlow Serving feeds what it is sent, of whatever shape. What that would end, serving/embedded/fence.py keeps from it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def checked(name: str, tensor: Any, spec: tf.TensorSpec) -> Any:
    """The input `name` of a signature, once it is of its rank and fixed dimensions; those that are None stay free.

    One operation, which copies nothing. No optimiser takes it out, as it would a comparison with the shape that the graph declares.
    """
    return tensor if spec.shape.rank is None else tf.ensure_shape(tensor, spec.shape, name=f"input_{name}")
