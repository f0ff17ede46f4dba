"""Checks in a graph, so that no request ends its server: a shape is refused before the operation that it would end.

Nearly every operation checks for itself, and the answer is an error. Those of RANKS and POOLS do not with oneDNN's kernels, which
TensorFlow has on by default. An input of another rank ends the process, and so does one that is smaller than the window of a pool.

An export puts them into what it writes; this server, into a model that was exported elsewhere. It knows protocol buffers, and no
TensorFlow.
"""

import itertools
import struct
from collections.abc import Iterator
from typing import Any

# Found by feeding 24 shapes, from a scalar to nine dimensions and without elements, to 46 operations of TensorFlow 2.20.
RANKS = {"Conv2D": 4, "DepthwiseConv2dNative": 4, "Conv3D": 5, "MaxPool3D": 5}
# Not padded, and with windows that overlap: oneDNN divides by the answer's size, which may be 0.
POOLS = {"MaxPool", "MaxPool3D"}
ABSORBED = "Pad"  # oneDNN makes it a part of the convolution behind it, and drops its check
FLOAT, INT32 = 1, 3  # TensorFlow's numbers of types


def put(nodes: Any, suffix: str) -> bool:
    """Puts a check before each operation of RANKS and POOLS, whatever the tensor before it comes from; returns whether any was put.

    The signature's check does not reach all of them: its rank may be open, and an image that is decoded has the rank that its file says.
    `nodes` are those of one graph, in which `suffix` is how the output of an operation is named.
    """
    producers = {node.name: node for node in nodes}
    ranked = [node for node in list(nodes) if node.op in RANKS and _hold_rank(nodes, node, suffix, producers)]
    pools = [node for node in nodes if node.op in POOLS and node.attr["padding"].s == b"VALID" and _overlaps(node)]
    pools = [node for node in pools if not _is_held(node, producers)]
    for node in pools:
        _hold_window(nodes, node, suffix, producers)
    return bool(ranked or pools)


def graphs(saved: Any) -> Iterator[tuple[Any, str]]:
    """The nodes of each graph of a SavedModel and of each function in it, with put()'s suffix."""
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        yield graph.node, ""
        yield from ((function.node_def, ":output:0") for function in graph.library.function)


def _hold_rank(nodes: Any, node: Any, suffix: str, producers: dict[str, Any]) -> bool:
    reader = node
    while (producer := producers.get(reader.input[0].partition(":")[0])) is not None and producer.op == ABSORBED:
        reader = producer
    rank = RANKS[node.op]
    if producer is not None and producer.op == "EnsureShape" and len(producer.attr["shape"].shape.dim) == rank:
        return False
    check = nodes.add(name=_free(f"{node.name}/rank", producers), op="EnsureShape", input=[reader.input[0]])
    check.attr["T"].type = node.attr["T"].type
    for _ in range(rank):
        check.attr["shape"].shape.dim.add(size=-1)
    check.device = reader.device
    reader.input[0] = f"{check.name}{suffix}"
    producers[check.name] = check
    return True


def _overlaps(pool: Any) -> bool:
    sizes = zip(pool.attr["ksize"].list.i, pool.attr["strides"].list.i, strict=True)
    return any(window > stride for window, stride in sizes)


def _is_held(pool: Any, producers: dict[str, Any]) -> bool:
    """Whether _hold_window has been here, in an export."""
    before = producers.get(pool.input[0].partition(":")[0])
    return before is not None and before.op == "Reshape" and before.name.startswith(f"{pool.name}/size")


def _hold_window(nodes: Any, pool: Any, suffix: str, producers: dict[str, Any]) -> None:
    """Reshapes the input of `pool` to its own shape, or to the window where that is larger: an error, as the number of elements differs."""
    window = [size if size > 1 else 0 for size in pool.attr["ksize"].list.i]  # a batch may be empty
    output, larger = suffix, suffix.replace("output", "z")  # the outputs of Maximum are called otherwise

    def add(name: str, op: str, *inputs: str, **types: int) -> str:
        node = nodes.add(name=_free(f"{pool.name}/{name}", producers), op=op, input=inputs, device=pool.device)
        for key, kind in types.items():
            node.attr[key].type = kind
        producers[node.name] = node
        return node.name

    kind = pool.attr["T"].type if "T" in pool.attr else FLOAT  # what a SavedModel leaves out
    least = add("window", "Const", dtype=INT32)
    value = producers[least].attr["value"].tensor
    value.dtype, value.tensor_content = INT32, struct.pack(f"<{len(window)}i", *window)
    value.tensor_shape.dim.add(size=len(window))
    shape = add("shape", "Shape", pool.input[0], T=kind, out_type=INT32)
    held = add("held", "Maximum", shape + output, least + output, T=INT32)
    pool.input[0] = add("size", "Reshape", pool.input[0], held + larger, T=kind, Tshape=INT32) + output


def _free(name: str, taken: Any) -> str:
    """A name of no other node."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    return next(one for one in names if one not in taken)
