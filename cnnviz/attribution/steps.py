"""The steps of the way back through a graph, and what every rule needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import tensorflow as tf
from tensorflow.python.framework.ops import get_gradient_function

Operation = Literal["unpool", "rectify", "filter", ""]


class Step(NamedTuple):
    """How a reconstruction gets from the output of an operation to its inputs.

    Attributes:
        sources: The inputs that it goes on to.
        pull: From the reconstruction at the output to those at the sources.
        operation: What the paper calls it.
    """

    sources: tuple[tf.Tensor, ...]
    pull: Callable[[tf.Tensor], Sequence[tf.Tensor]]
    operation: Operation = ""


def registered_gradient(
    op: tf.Operation, r: tf.Tensor, index: int = 0
) -> list[tf.Tensor]:
    """TensorFlow's own gradient of an operation: for linear ones, the transpose."""
    given = [
        r if i == index else tf.zeros_like(t) if t.dtype.is_floating else None
        for i, t in enumerate(op.outputs)
    ]
    gradients = get_gradient_function(op)(op, *given)
    if not isinstance(gradients, list | tuple):
        gradients = [gradients]
    return [
        tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g
        for g in gradients
    ]


def as_like(r: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """A reconstruction in the precision and shape of a tensor."""
    if like.dtype.is_floating and r.dtype != like.dtype:
        return tf.cast(r, like.dtype)
    return r


def summed_to(r: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The transpose of broadcasting: sums over what was repeated."""
    if r.shape.rank is None or shape.rank is None:
        return r
    extra = r.shape.rank - shape.rank
    if extra:
        r = tf.reduce_sum(r, list(range(extra)))
    repeated = [i for i, n in enumerate(shape) if n == 1 and r.shape[i] != 1]
    return tf.reduce_sum(r, repeated, keepdims=True) if repeated else r
