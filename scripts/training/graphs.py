"""What the graph of a signature says before anything is trained: the operations that it calls, and the outputs that no training changes."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import tensorflow as tf

from scripts.training.faults import mistake

IN_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
HANDLES = (tf.resource, tf.variant)


@functools.cache
def known() -> frozenset[str]:
    """TensorFlow's own operations, as this process has them at the first call: before a model file loads a library of others."""
    from tensorflow.core.framework.op_def_pb2 import OpList  # ty: ignore[missing-module-member]
    from tensorflow.python.client import pywrap_tf_session as session

    return frozenset(op.name for op in OpList.FromString(session.TF_GetBuffer(session.TF_GetAllOpList())).op)


def refuse_foreign(model: ModuleType, name: str, graph: Any) -> None:
    """Raises YourTurn for operations that no model server has: of this Python process, or of a library that only it has loaded."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    called = {node.op for node in nodes} - {function.signature.name for function in definition.library.function}
    if found := sorted(called & IN_PYTHON):
        problem = f"the signature {name!r} calls Python ({found[0]}: tf.py_function or tf.numpy_function), which no model server can"
        raise mistake(model, problem)
    if found := sorted(called - known()):
        problem = f"the signature {name!r} calls {', '.join(found)}, which a library other than TensorFlow brings"
        raise mistake(model, f"{problem}, and no model server has loaded that")


def settled(function: Any) -> set[str]:
    """The outputs of a traced function that depend on no variable and no mutable table: they are the same after any training."""
    graph = function.graph
    fixed = {id(_handle(thing)) for thing in resources([graph]) if isinstance(thing, tf.lookup.StaticHashTable)}
    captured = zip(graph.external_captures, graph.internal_captures, strict=True)
    trained = {inside.op.name for outside, inside in captured if outside.dtype in HANDLES and id(outside) not in fixed}
    names = sorted(function.structured_outputs)  # the order of tf.nest
    return {name for name, output in zip(names, function.outputs, strict=True) if not trained & _ancestors(output.op)}


def _ancestors(operation: Any) -> set[str]:
    """The names of the operations from which this one is computed."""
    waiting, seen = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.name not in seen:
            seen.add(one.name)
            waiting.extend(tensor.op for tensor in one.inputs)
    return seen


def resources(graphs: Iterable[Any]) -> list[Any]:
    """The lookup tables and vocabulary files that the graphs use, wherever the model file keeps them, in the order of their use.

    The graphs hold only handles. The objects are found among all live objects of this process.
    """
    living = {id(_handle(thing)): thing for thing in gc.get_objects() if issubclass(type(thing), _KINDS)}
    captured = [id(outer) for graph in graphs for outer in graph.external_captures]
    return [living[one] for one in dict.fromkeys(captured) if one in living]


_KINDS = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)


def forget_folder(nodes: Any) -> bool:
    """Takes the path of this checkout out of the names that TensorFlow gives to tables read from a file; returns whether it found any."""
    here, found = f"{os.getcwd()}/".encode(), False
    for node in nodes:
        name = node.attr["shared_name"].s if "shared_name" in node.attr else b""
        if here in name:
            node.attr["shared_name"].s, found = name.replace(here, b""), True
    return found


def _handle(thing: Any) -> Any:
    return thing.asset_path if issubclass(type(thing), tf.saved_model.Asset) else thing.resource_handle
