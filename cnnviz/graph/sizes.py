"""How much a graph computes: what decides how many images fit into memory, and time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.operations import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS
from cnnviz.graph.walking import ancestors

_WITHOUT_VALUES = ("Identity", "Reshape", "ReadVariableOp", "Const", "Placeholder")
"""Operations that pass values on, or whose outputs do not come from an image."""


def numbers_per_image(graph: tf.Graph) -> int:
    """How many numbers one image becomes on its way through a graph.

    Counted are the floating-point tensors with an axis of images and more, the first
    axis left out; an unknown size counts as 1.

    Args:
        graph: The graph, of any number of images.
    """
    return sum(map(_numbers, graph.get_operations()))


def _numbers(op: tf.Operation) -> int:
    if op.type in CALLS and (inner := body(op)) is not None:
        return numbers_per_image(inner)
    if op.type in _WITHOUT_VALUES:
        return 0
    return sum(
        int(np.prod([size or 1 for size in output.shape[1:]]))
        for output in op.outputs
        if output.dtype.is_floating and (output.shape.rank or 0) > 1
    )


class Work:
    """How long tensors take to be computed, in multiply-adds of one image.

    It is an estimate: for every operation its multiply-adds, and for each number that
    it writes as many as take the same time.
    """

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def __call__(
        self, tensors: Iterable[tf.Tensor], given: Iterable[tf.Tensor] = ()
    ) -> float:
        """What it takes to compute tensors, if others are given."""
        return sum(map(self._of_operation, ancestors(tensors, given).values()))

    def _of_operation(self, op: tf.Operation) -> float:
        if op.name not in self._known:
            self._known[op.name] = _work(op)
        return self._known[op.name]


def copying(tensor: tf.Tensor) -> float:
    """How long it takes to bring a tensor into a graph and out of it, the same way."""
    # More than what is written there: one core copies, where all of them multiply.
    return 8.0 * _PER_NUMBER * float(np.prod([n or 1 for n in tensor.shape[1:]]))


def _work(op: tf.Operation) -> float:
    if op.type in CALLS and (inner := body(op)) is not None:
        return sum(map(_work, inner.get_operations()))
    if op.type in _WITHOUT_VALUES or not op.outputs or not op.outputs[0].shape.rank:
        return 0.0
    sizes = [n or 1 for n in op.outputs[0].shape[1:]]
    taps = 0.0
    if op.type in _MULTIPLYING and op.inputs[1].shape.is_fully_defined():
        taps = op.inputs[1].shape.num_elements() / sizes[-1]
    return float(np.prod(sizes)) * (taps + _PER_NUMBER)


_PER_NUMBER = 32
"""How many multiply-adds take as long as writing a number."""

_MULTIPLYING = (*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS, "MatMul")
