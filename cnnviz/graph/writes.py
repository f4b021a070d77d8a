"""Which variables a traced graph writes, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from cnnviz.graph.functions import functions_of
from cnnviz.graph.rewriting import as_written, is_misread
from cnnviz.graph.walking import past

_READS = frozenset(
    """ReadVariableOp VariableShape VarIsInitializedOp ResourceGather ResourceGatherNd
    DisableCopyOnRead""".split()
)
_ALIASES = frozenset(("Identity", "Enter", "Switch"))


def written_variables(graph: tf.Graph) -> list[tf.Tensor]:
    """The handles of the variables that a graph or a function called in it writes.

    Args:
        graph: The graph of a function.

    Returns:
        The handles, as they are outside the graph; each once.
    """
    written = _written(graph)
    return [
        outside
        for outside, inside in graph.captures
        if inside.ref() in written and _dtype(outside) is not None
    ]


@contextmanager
def restored(variables: Sequence[tf.Tensor]) -> Iterator[None]:
    """Gives variables their values back, whatever happens in between.

    Args:
        variables: Their handles; a graph in which this is used restores them whenever
            it runs to its end.
    """
    values = [_read(handle) for handle in variables]
    try:
        yield
    finally:
        for handle, value in zip(variables, values, strict=True):
            tf.raw_ops.AssignVariableOp(resource=handle, value=value)


def unmoved(function: Any) -> Callable[..., Any]:
    """A `tf.function` that leaves variables as they were, for use in a graph."""

    def called(*arguments: tf.Tensor) -> Any:
        concrete = function.get_concrete_function(*arguments)
        graph = concrete.graph
        with restored(written_variables(graph)), as_written(is_misread(graph)):
            return concrete(*arguments)

    return called


def _read(handle: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=_dtype(handle))


def _dtype(handle: tf.Tensor) -> tf.DType | None:
    """The type of a variable's values; None for resources that are no variables."""
    kept = getattr(handle, "_handle_data", None)
    if kept is None or not kept.is_set or len(kept.shape_and_type) != 1:
        return None
    return tf.as_dtype(kept.shape_and_type[0].dtype)


def _written(graph: tf.Graph) -> set[Any]:
    """The resources in a graph that something in it writes."""
    found: set[Any] = set()
    for operation in graph.get_operations():
        resources = [t for t in operation.inputs if t.dtype == tf.resource]
        if not resources or operation.type in _READS | _ALIASES:
            continue
        # An operation without functions writes by itself; a hidden function may write.
        for inner in list(functions_of(operation)) or [None]:
            if inner is None:
                found |= {past(tensor, _ALIASES).ref() for tensor in resources}
                continue
            inside = _written(inner)
            # The last inputs are the function's; that of a condition comes before.
            given = list(operation.inputs)[-len(inner.inputs) :]
            found |= {
                past(outer, _ALIASES).ref()
                for outer, tensor in zip(given, inner.inputs, strict=True)
                if tensor.ref() in inside
            }
    return found
