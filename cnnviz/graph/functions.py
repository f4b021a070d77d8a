"""Functions that a graph calls: looked into, and computed in the graph around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from cnnviz.graph.constants import known_element

CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
"""The types of the operations that call a function."""
CONDITIONS = frozenset(("If", "StatelessIf"))
"""The types of those that call one of two; their first input tells which."""


def body(call: tf.Operation) -> tf.Graph | None:
    """The graph of the function that an operation calls, if it can be looked into.

    Of a condition that of the branch that is taken, if that is known before it runs, as
    where the size of an image decides.
    """
    if call.type not in CONDITIONS:
        return graph_of(call.graph, call.get_attr("f").name)
    is_true = known_element(call.inputs[0], ())
    if is_true is None:
        return None
    branch = "then_branch" if is_true else "else_branch"
    return graph_of(call.graph, call.get_attr(branch).name)


def graph_of(caller: tf.Graph, name: str) -> tf.Graph | None:
    """The graph of a function that a graph knows by name, if it can be looked into."""
    return getattr(caller._get_function(name), "graph", None)


def functions_of(operation: tf.Operation) -> Iterator[tf.Graph | None]:
    """The graphs of the functions that an operation of any kind calls.

    None where one cannot be looked into.
    """
    for value in operation.node_def.attr.values():
        for name in (value.func.name, *(func.name for func in value.list.func)):
            if name:
                yield graph_of(operation.graph, name)


class Inlining:
    """Functions of a graph, copied into the graph that calls them.

    What is asked for is copied once, with what it needs, and nothing else. The names of
    the copies begin with those of the calls.
    """

    def __init__(self) -> None:
        self._copies: dict[tuple[str, ...], dict[Any, tf.Tensor]] = {}

    def __call__(self, call: tf.Operation) -> list[tf.Tensor] | None:
        """What a function returns, computed in the graph that calls it.

        Args:
            call: The call of the function.

        Returns:
            A tensor for each of the outputs of `call`; None if the function cannot be
            looked into.
        """
        inner = body(call)
        if inner is None:
            return None
        return [self.outside(tensor, (call,)) for tensor in inner.outputs]

    def outside(self, tensor: tf.Tensor, calls: tuple[tf.Operation, ...]) -> tf.Tensor:
        """The same tensor, computed in the graph of the outermost call.

        Args:
            tensor: A tensor inside a function.
            calls: The call of the function that it is in, preceded by the call of the
                function around that one, and so on; the tensor itself if there is none.
        """
        if not calls:
            return tensor
        *around, call = calls
        copies = self._copies.setdefault(tuple(c.name for c in calls), {})
        handed = call.inputs[1:] if call.type in CONDITIONS else call.inputs
        outer = {
            inner.ref(): given
            for inner, given in zip(tensor.graph.inputs, handed, strict=True)
        }

        def given(top: tf.Tensor) -> tf.Tensor | None:
            known = outer.get(top.ref())
            return None if known is None else self.outside(known, tuple(around))

        name = "/".join(c.name for c in calls)
        return recomputed(tensor, given, calls[0].graph, name, copies)


def recomputed(
    tensor: tf.Tensor,
    given: Callable[[tf.Tensor], tf.Tensor | None],
    graph: tf.Graph,
    name: str,
    copies: dict[Any, tf.Tensor] | None = None,
) -> tf.Tensor:
    """A tensor, computed by copies of its operations.

    Args:
        tensor: The tensor.
        given: What to compute it from: another tensor in place of one that it is made
            of; None if that one is to be computed once more, too.
        graph: Where to compute it.
        name: What the names of the copies begin with.
        copies: What is computed already, by `tensor.ref()`; it grows.
    """
    copies = {} if copies is None else copies
    stack = [tensor]
    while stack:
        top = stack[-1]
        if top.ref() in copies:
            stack.pop()
            continue
        if (known := given(top)) is not None:
            copies[top.ref()] = known
            continue
        waiting = [t for t in top.op.inputs if t.ref() not in copies]
        if waiting:
            stack += waiting
            continue
        copy = graph.create_op(
            top.op.type,
            [copies[t.ref()] for t in top.op.inputs],
            [t.dtype for t in top.op.outputs],
            name=f"{name}/{top.op.name}",
            attrs=dict(top.op.node_def.attr),
        )
        copies.update(
            (old.ref(), new)
            for old, new in zip(top.op.outputs, copy.outputs, strict=True)
        )
    return copies[tensor.ref()]
