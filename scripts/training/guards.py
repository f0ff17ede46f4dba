"""What an export does so that no request ends its server: an input of another shape is refused in the graph, before anything reads it.

TensorFlow Serving feeds what it is sent, of whatever shape. Nearly every operation checks for itself, and the answer is an error.
Those of RANKS and POOLS do not with oneDNN's kernels, which TensorFlow has on by default. An input of another rank ends the process, and
so does one that is smaller than the window of a pool.
"""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

# Found by feeding 24 shapes, from a scalar to nine dimensions and without elements, to 46 operations of TensorFlow 2.20.
RANKS = {"Conv2D": 4, "DepthwiseConv2dNative": 4, "Conv3D": 5, "MaxPool3D": 5}
# Not padded, and with windows that overlap: oneDNN divides by the answer's size, which may be 0.
POOLS = {"MaxPool", "MaxPool3D"}
ABSORBED = "Pad"  # oneDNN makes it a part of the convolution behind it, and drops its check


def checked(name: str, tensor: Any, spec: tf.TensorSpec) -> Any:
    """The input `name` of a signature, once it is of its rank and fixed dimensions; those that are None stay free.

    One operation, which copies nothing. No optimiser takes it out, as it would a comparison with the shape that the graph declares.
    """
    return tensor if spec.shape.rank is None else tf.ensure_shape(tensor, spec.shape, name=f"input_{name}")


def fence(nodes: Any, suffix: str) -> bool:
    """Puts a check before each operation of RANKS and POOLS, whatever the tensor before it comes from; returns whether there is any.

    The signature's check does not reach all of them: its rank may be open, and an image that is decoded has the rank that its file says.
    `nodes` are those of one graph, in which `suffix` is how the output of an operation is named.
    """
    producers = {node.name: node for node in nodes}
    found = [node for node in nodes if node.op in RANKS]
    for node in found:
        reader = node
        while (producer := producers.get(reader.input[0].partition(":")[0])) is not None and producer.op == ABSORBED:
            reader = producer
        check = nodes.add(name=_free(f"{node.name}/rank", producers), op="EnsureShape", input=[reader.input[0]])
        check.attr["T"].type = node.attr["T"].type
        check.attr["shape"].shape.CopyFrom(tf.TensorShape([None] * RANKS[node.op]).as_proto())
        check.device = reader.device
        reader.input[0] = f"{check.name}{suffix}"
        producers[check.name] = check
    pools = [node for node in nodes if node.op in POOLS and node.attr["padding"].s == b"VALID" and _overlaps(node)]
    for node in pools:
        _hold_window(nodes, node, suffix, producers)
    return bool(found or pools)


def _overlaps(pool: Any) -> bool:
    sizes = zip(pool.attr["ksize"].list.i, pool.attr["strides"].list.i, strict=True)
    return any(window > stride for window, stride in sizes)


def _hold_window(nodes: Any, pool: Any, suffix: str, producers: dict[str, Any]) -> None:
    """Reshapes the input of `pool` to its own shape, or to the window where that is larger: an error, as the number of elements differs."""
    window = [size if size > 1 else 0 for size in pool.attr["ksize"].list.i]  # a batch may be empty
    output, larger = suffix, suffix.replace("output", "z")  # the outputs of Maximum are called otherwise

    def add(name: str, op: str, *inputs: str, **types: Any) -> str:
        node = nodes.add(name=_free(f"{pool.name}/{name}", producers), op=op, input=inputs, device=pool.device)
        for key, kind in types.items():
            node.attr[key].type = kind
        producers[node.name] = node
        return node.name

    integer = tf.int32.as_datatype_enum
    kind = pool.attr["T"].type if "T" in pool.attr else tf.float32.as_datatype_enum  # what a SavedModel leaves out
    least = add("window", "Const", dtype=integer)
    producers[least].attr["value"].tensor.CopyFrom(tf.make_tensor_proto(window, tf.int32))
    shape = add("shape", "Shape", pool.input[0], T=kind, out_type=integer)
    held = add("held", "Maximum", shape + output, least + output, T=integer)
    pool.input[0] = add("size", "Reshape", pool.input[0], held + larger, T=kind, Tshape=integer) + output


def _free(name: str, taken: Any) -> str:
    """A name of no other node."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    return next(one for one in names if one not in taken)
